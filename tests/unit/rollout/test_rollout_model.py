"""All interleavings and kills of a rollout's protocol, explored with the real machine (model_world, model_actors).

Both runners always believe that they hold the Lease, and every actor may sleep or be killed between any two calls: what
holds here holds for a runner that was stopped, a split network and two machines.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.rollout.exploration import Scenario, explore
from tests.unit.rollout.model_world import Mutation, State
from tests.unit.rollout.state_search import Explored

ABORT: dict[str, Any] = {"aborts": 1, "ups": 0}
UP: dict[str, Any] = {"aborts": 0, "ups": 1}

SCENARIOS = {
    "two runners, an abort and an up, three steps": (Scenario(steps=(10, 50, 100)), "Completed Aborted"),
    "two runners, an abort and two ups": (Scenario(ups=2), "Completed Aborted"),
    "two runners and two aborts": (Scenario(aborts=2, ups=0), "Completed Aborted"),
    "two runners and an up, and nobody who aborts": (Scenario(**UP), "Completed"),
    "pods that are not ready for a while": (Scenario(**UP, harm=True), "Completed Aborted"),
    "gates that find harm for a while": (Scenario(**UP, harm=True, gates=True), "Completed Aborted"),
    "gates and an abort": (Scenario(**ABORT, gates=True), "Completed Aborted"),
    "two VirtualServices and an up": (Scenario(runners=1, virtual_services=2), "Completed Aborted"),
    "two VirtualServices and two runners": (Scenario(**ABORT, virtual_services=2, steps=(10,)), "Completed Aborted"),
    "spec.http is handed back after the abort": (Scenario(runners=1, ups=2, hand_over=True), "Completed Aborted"),
    "spec.http is handed back after a retry that nobody has started": (
        Scenario(runners=1, retries=1, hand_over=True, steps=(10,)),
        "Completed Aborted",
    ),
    "an abort that overwrites at its last try": (Scenario(**UP, forced_aborts=1), "Completed Aborted"),
    "such an abort beside another and two VirtualServices": (
        Scenario(**ABORT, runners=1, forced_aborts=1, virtual_services=2),
        "Completed Aborted",
    ),
    "an abort that may not write the record": (Scenario(**UP, blind_aborts=1), "Completed Aborted"),
    "an abort without a record beside another": (Scenario(**ABORT, blind_aborts=1), "Completed Aborted"),
    "an abort without a record and two VirtualServices": (
        Scenario(**UP, runners=1, blind_aborts=1, virtual_services=2),
        "Completed Aborted",
    ),
    "a retry after the abort": (Scenario(**ABORT, retries=1), "Completed Aborted"),
    "a pause beside an abort": (Scenario(**ABORT, pauses=1), "Completed Aborted"),
    "a pause beside an up": (Scenario(**UP, pauses=1), "Completed"),
    "an undo after the end": (Scenario(**UP, undos=1), "Completed Undone"),
    "an undo beside an abort": (Scenario(**ABORT, undos=1), "Completed Aborted Undone"),
}


@pytest.fixture(autouse=True)
def without_the_garbage_collector() -> Iterator[None]:
    """The states have no cycles, and the collector would search hundreds of thousands of them again and again."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(("scenario", "ends"), SCENARIOS.values(), ids=SCENARIOS)
def test_an_aborted_version_never_gets_weight_again_and_every_rollout_ends_rightly(
    scenario: Scenario, ends: str
) -> None:
    explored = explore(scenario)

    assert explored.violation is None, _told(explored)
    assert not explored.stuck, f"{len(explored.stuck)} states from which no right end is reached: {explored.stuck[0]}"
    assert explored.ends == set(ends.split())


@pytest.mark.parametrize(
    ("mutation", "scenario"),
    [
        (Mutation(precondition=False), Scenario()),
        (Mutation(precondition=False), Scenario(**UP, harm=True, gates=True)),
        (Mutation(precondition=False), Scenario(**ABORT)),
        (Mutation(annotation=False), Scenario()),
        (Mutation(annotation=False), Scenario(**ABORT)),
        (Mutation(own_manager=False), Scenario()),
        (Mutation(routes_read_first=False), Scenario(**ABORT)),
        (Mutation(hand_over_late=False), Scenario(hand_over=True)),
    ],
    ids=lambda value: (
        "-".join(name for name, kept in value._asdict().items() if not kept) if isinstance(value, Mutation) else ""
    ),
)
def test_a_protocol_without_one_of_its_parts_brings_a_bad_version_back(mutation: Mutation, scenario: Scenario) -> None:
    explored = explore(scenario, mutation)

    assert explored.violation is not None, "the model does not see what the part is for"


def test_an_up_that_read_an_older_record_is_harmless_only_because_of_the_other_field_manager() -> None:
    without_up = explore(Scenario(**ABORT), Mutation(own_manager=False))

    assert without_up.violation is None


def _told(explored: Explored[State]) -> str:
    return "\n".join([str(explored.violation), *map(str, explored.way)])
