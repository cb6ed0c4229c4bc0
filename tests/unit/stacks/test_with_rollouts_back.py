"""What an `up` makes of a rollout that goes back, was taken back, or gives way to another one."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.observed_routes import ObservedRoutes
from rollout.record import Phase
from rollout.schedule import rule_key
from stacks.cluster_facts import refuse_removal_in_use
from stacks.rollout_asks import AskKind
from stacks.settings.model import Settings
from stacks.settings.problems import SettingsError
from tests.unit.stacks.effective_rollouts import CHANGED_NEW, THIRD, THREE, effective, everybody, kinds, refusal
from tests.unit.stacks.rollout_stacks import (
    COHORT,
    EVERYBODY,
    FILE,
    NEW,
    OLD,
    ONLY_OLD,
    PLAIN,
    TESTERS,
    aborted,
    aborting,
    at,
    pending,
    progressing,
    stack,
    state,
    version,
)
from traffic.model import Rule, Target

BACK = {**EVERYBODY, "to": OLD}


@pytest.mark.parametrize(
    "file",
    [
        stack(BACK),
        stack(PLAIN),
        stack(ONLY_OLD, versions={OLD: version(1)}),
    ],
    ids=["from again", "without rollout", "the new version removed"],
)
def test_a_file_that_leads_to_from_again_goes_back_first_and_says_what_it_takes_back_and_whose_it_was(
    file: Settings,
) -> None:
    settings = stack()
    found = effective(file, state(settings, progressing(settings)))
    assert (everybody(found), kinds(found), found.problems) == ({OLD: 100}, [AskKind.GO_BACK], ())
    assert found.comes_first == found.asks
    assert found.routes_left == {"shop"}
    assert found.leaving == {Target("shop", NEW)}
    (warning,) = found.warnings
    assert "50 % of the requests are at version-2" in warning.what
    assert "begun by ann" in warning.what


def test_the_new_version_may_be_removed_by_the_up_that_goes_back_and_by_no_other() -> None:
    settings, file = stack(), stack(ONLY_OLD, versions={OLD: version(1)})
    found = effective(file, state(settings, progressing(settings)))
    used = Target("shop", NEW)
    both = frozenset({used, Target("shop", OLD)})
    observed = ObservedRoutes(subsets=both, shares={used: "50 % in VirtualService shop/shop, rule 1"})
    refuse_removal_in_use(found.settings, observed, FILE, found.leaving)
    with pytest.raises(SettingsError, match="version-2 is removed"):
        refuse_removal_in_use(found.settings, observed, FILE)


def test_a_file_without_the_cohort_goes_back_as_well() -> None:
    settings = stack(COHORT, EVERYBODY)
    found = effective(stack(PLAIN), state(settings, progressing(settings)))
    assert kinds(found) == [AskKind.GO_BACK]


def test_a_third_version_is_refused_while_a_rollout_is_under_way() -> None:
    settings, file = stack(), stack(THIRD, versions=THREE)
    text = refusal(effective(file, state(settings, progressing(settings))))
    assert "in a rollout from version-1 to version-2" in text
    assert "onSupersede: abort" in text


def test_a_third_version_supersedes_if_the_strategy_says_so() -> None:
    settings, file = stack(onSupersede="abort"), stack(THIRD, versions=THREE)
    found = effective(file, state(settings, progressing(settings)))
    assert kinds(found) == [AskKind.SUPERSEDE, AskKind.BEGIN]
    assert everybody(found) == {OLD: 100}
    assert found.routes_left == {"shop"}


def test_the_next_rollout_waits_until_the_last_one_is_back() -> None:
    settings, file = stack(), stack(THIRD, versions=THREE)
    assert "goes back" in refusal(effective(file, state(settings, aborting(settings))))


def test_an_up_ends_an_abort() -> None:
    settings = stack()
    found = effective(settings, state(settings, aborting(settings)))
    assert (everybody(found), kinds(found)) == ({OLD: 100}, [AskKind.GO_BACK])


@pytest.mark.parametrize("phase", [Phase.ABORTED, Phase.UNDONE])
def test_an_aborted_release_gets_nothing_and_the_warning_has_the_reason_and_retry(phase: Phase) -> None:
    settings = stack()
    found = effective(settings, state(settings, aborted(settings, phase=phase)))
    assert (everybody(found), kinds(found), found.problems) == ({OLD: 100}, [], ())
    (warning,) = found.warnings
    assert "it fails" in warning.what
    assert "by ann" in warning.what
    assert "canary rollout retry shop" in warning.fix


def test_an_aborted_release_stays_away_although_somebody_brought_it_back() -> None:
    settings = stack()
    assert everybody(effective(settings, state(settings, aborted(settings), at(50)))) == {OLD: 100}


def test_another_template_of_the_same_name_is_a_new_release() -> None:
    settings, file = stack(), stack(versions={OLD: version(1), NEW: version(22)})
    found = effective(file, state(settings, aborted(settings)))
    assert (everybody(found), kinds(found), found.warnings) == ({OLD: 100}, [AskKind.BEGIN], ())


def test_an_aborted_release_is_not_brought_back_by_weights() -> None:
    settings, file = stack(), stack({"to": {OLD: 90, NEW: 10}, "timeout": "5s"})
    assert "canary rollout retry shop" in refusal(effective(file, state(settings, aborted(settings))))


def test_testers_keep_an_aborted_release_and_no_others_get_it() -> None:
    settings = stack(TESTERS, EVERYBODY)
    key = rule_key(Rule.model_validate(TESTERS))
    now = {**at(0), key: {NEW: 100.0}}
    assert effective(settings, state(settings, aborted(settings), now)).problems == ()
    assert refusal(effective(settings, state(settings, aborted(settings), at(0))))


@pytest.mark.parametrize("versions", [{OLD: version(1)}, {OLD: version(1), NEW: version(2)}], ids=["gone", "changed"])
def test_a_rollout_that_has_not_started_ends_if_an_up_takes_or_changes_its_pods(versions: dict[str, Any]) -> None:
    settings = stack(versions=CHANGED_NEW)
    to = {"to": {name: 100 if name == OLD else 0 for name in versions}}
    found = effective(stack(to, versions=versions), state(settings, pending(settings)))
    assert (everybody(found), kinds(found), found.problems) == ({OLD: 100}, [AskKind.WITHDRAW], ())
    assert found.comes_first
    assert "it ends, and no requests move" in found.warnings[0].what


def test_a_rollout_that_has_not_started_ends_if_its_version_becomes_a_barred_release_again() -> None:
    settings, changed = stack(), stack(versions=CHANGED_NEW)
    record = pending(changed).model_copy(update={"bars": aborted(settings).bars})
    found = effective(settings, state(changed, record))
    assert (everybody(found), kinds(found)) == ({OLD: 100}, [AskKind.WITHDRAW])
