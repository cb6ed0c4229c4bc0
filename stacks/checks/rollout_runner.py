"""Checks of the runner in the cluster: that it has something to move, and that what needs it has it."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.checks.pods import check_resources
from stacks.checks.view import View, block
from stacks.settings.model import Settings
from stacks.settings.problems import Finding, Location, key_path, shown

RUNNER: Location = ("rolloutRunner",)


def check(view: View) -> Iterator[Finding]:
    """Yield a runner without a namespace to run in, and resources that contradict themselves."""
    given = block(view.values.get("rolloutRunner"))
    yield from check_resources(block(given.get("resources")), (*RUNNER, "resources"))
    if given.get("enabled") is True and not given.get("namespaces") and not view.values.get("services"):
        yield Finding(
            (*RUNNER, "enabled"),
            "the stack has no services, so that the runner has no rollout to move",
            "a runner with services, or with the namespaces of others",
            f"name them, such as {key_path((*RUNNER, 'namespaces'))}: [shop]; or remove rolloutRunner",
            "true",
        )


def warnings(settings: Settings) -> Iterator[Finding]:
    """Yield rollouts that start by themselves where no runner of this stack does it."""
    if settings.rollout_runner.enabled:
        return
    places: dict[Location, object] = {
        ("rollouts", name): strategy for name, strategy in settings.rollouts.items() if strategy.auto_start
    }
    for name, service in settings.services.items():
        for index, rule in enumerate(service.route):
            own = rule.rollout
            if own is not None and not isinstance(own, str) and own.auto_start:
                places["services", name, "route", index, "rollout"] = own
    for place in places:
        yield Finding(
            (*place, "autoStart"),
            "the stack has no runner in the cluster, so that nobody starts it by itself",
            f"autoStart with {key_path((*RUNNER, 'enabled'))}: true, or with the runner of another stack",
            f"write {key_path(RUNNER)}: {{enabled: true}}; none needed if another stack's runner has this namespace",
            shown(True),
        )
