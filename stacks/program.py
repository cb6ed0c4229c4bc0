"""The settings and the name of the stack that Pulumi runs the program for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import NoReturn

import pulumi
from pulumi.runtime import config

from stacks.settings.loading import StackSettings, load_runtime, warnings
from stacks.settings.model import Settings
from stacks.settings.problems import Problem
from stacks.settings.stack_file import read_stack_file

MOST_WARNINGS = 20
"""What a person reads beside a change."""

REPORTED = 32
"""Exit code that tells Pulumi's language host that the error was reported: it adds no sentence of its own."""

loaded: ContextVar[StackSettings | None] = ContextVar("loaded", default=None)
"""The stack's settings, where `canary` has read and checked them in this process already."""


def settings_of_stack(project: Path) -> Settings:
    """Return the checked settings of the stack.

    They come from Pulumi's runtime; the stack's file in `project`, the folder of Pulumi.yaml, gives the messages their
    lines. Raises SettingsError with all problems at once; what may only surprise is told to the engine as a warning.
    """
    found = loaded.get() or _from_runtime(project)
    surprising = warnings(found.settings, found.source)
    warn(surprising[:MOST_WARNINGS])
    if len(surprising) > MOST_WARNINGS:
        pulumi.log.warn(f"{len(surprising) - MOST_WARNINGS} more things in the settings may surprise")
    return found.settings


def _from_runtime(project: Path) -> StackSettings:
    file = project / f"Pulumi.{pulumi.get_stack()}.yaml"
    source = read_stack_file(file) if file.is_file() else None
    given = config.CONFIG.get()
    secrets = frozenset(key for key in given if config.is_config_secret(key))
    return StackSettings(load_runtime(given, source, secrets), source)


def end_with(message: str) -> NoReturn:
    """End the program with this message as the one error that a person sees."""
    pulumi.log.error(message)
    raise SystemExit(REPORTED)


def interruptions_are_quiet() -> None:
    """Let SIGINT end the program without a traceback.

    The engine sends it when a hook has failed, and the terminal on Ctrl-C; the engine reports either by itself.
    """
    if threading.current_thread() is threading.main_thread():  # `canary` runs the program in a thread of its own
        signal.signal(signal.SIGINT, lambda *_: os._exit(REPORTED))


def warn(problems: Iterable[Problem]) -> None:
    """Tell the engine of problems that do not stop the run."""
    for problem in problems:
        pulumi.log.warn(str(problem))


def owner_of_stack() -> str:
    """Return `<project>/<stack>`, by which the stack's namespaces are known."""
    return f"{pulumi.get_project()}/{pulumi.get_stack()}"
