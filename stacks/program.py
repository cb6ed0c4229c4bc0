"""The settings and the name of the stack that Pulumi runs the program for."""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi.runtime import config

from stacks.settings.loading import load_runtime, warnings
from stacks.settings.model import Settings
from stacks.settings.stack_file import read_stack_file

MOST_WARNINGS = 20
"""What a person reads beside a change."""


def settings_of_stack(project: Path) -> Settings:
    """Return the checked settings of the stack, as Pulumi's runtime gives them.

    `project` is the folder of Pulumi.yaml; the stack's file there, if there is one, gives the messages their lines.
    Raises SettingsError with all problems at once; what may only surprise is told to the engine as a warning.
    """
    file = project / f"Pulumi.{pulumi.get_stack()}.yaml"
    source = read_stack_file(file) if file.is_file() else None
    given = config.CONFIG.get()
    settings = load_runtime(given, source, frozenset(key for key in given if config.is_config_secret(key)))
    surprising = warnings(settings, source)
    for warning in surprising[:MOST_WARNINGS]:
        pulumi.log.warn(str(warning))
    if len(surprising) > MOST_WARNINGS:
        pulumi.log.warn(f"{len(surprising) - MOST_WARNINGS} more things in the settings may surprise")
    return settings


def owner_of_stack() -> str:
    """Return `<project>/<stack>`, by which the stack's namespaces are known."""
    return f"{pulumi.get_project()}/{pulumi.get_stack()}"
