"""A stack's routes as the rollouts in the cluster make them, for commands that compare them with the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightkube import Client

    from stacks.rollout_states import RolloutState
    from stacks.settings.model import Settings


@dataclass(frozen=True, kw_only=True)
class EffectiveRoutes:
    """`settings` have the weights that a rollout wants now, and no rollouts; all else is as in the file.

    `states` are those of the services with a rollout, by name; `problems` is why a state and the file do not fit.
    """

    settings: Settings
    states: Mapping[str, RolloutState]
    problems: Mapping[str, str]


def has_rollouts(settings: Settings) -> bool:
    """Return whether a rule of the stack has a rollout, of this project or of another engine."""
    from stacks.settings.engines import engines_of

    return bool(engines_of(settings)) or any(service.rolled for service in settings.services.values())


def effective_routes(client: Client, settings: Settings) -> EffectiveRoutes:
    """Return the routes of a stack with the weights of its rollouts. Raises what `kube.client.query` explains."""
    from stacks.engine_weights import with_engine_weights
    from stacks.rollout_states import read_rollout_states
    from stacks.with_rollouts import with_rollouts

    settings = with_engine_weights(client, settings)
    states = read_rollout_states(client, settings)
    if not states:
        return EffectiveRoutes(settings=settings, states={}, problems={})
    effective = with_rollouts(settings, states, "")
    services = {
        name: service.model_copy(update={"route": effective.settings.services[name].route})
        for name, service in settings.services.items()
    }
    found = {name: [one for one in effective.problems if f".{name}." in f"{one.path}."] for name in services}
    return EffectiveRoutes(
        settings=settings.model_copy(update={"services": services}),
        states=states,
        problems={name: str(problems[0]) for name, problems in found.items() if problems},
    )
