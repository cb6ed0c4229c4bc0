"""The corpus of changes: the requests, rules, versions and settings that `canary diff` shows for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from canary.diff.revisions import Revision
from canary.diff.rows import access_note, request_rows, setting_rows
from canary.diff.stack_diff import StackDiff, stack_diff
from stacks.settings.stack_file import parse_stack_file
from tests.changes import Change, ChangedRequests, Config, as_stack_file, changes
from traffic.diff import changes as changes_of

STACK = "test"


def side(name: str, config: Config) -> Revision:
    """A side whose only stack has this config."""
    return Revision(name, (STACK,), lambda stack: parse_stack_file(Path(f"Pulumi.{stack}.yaml"), as_stack_file(config)))


def diff_of(before: Config, after: Config) -> StackDiff:
    """The comparison of two configs, without policies."""
    return stack_diff(STACK, side("before", before), side("after", after), with_policies=False)


def requests_of(diff: StackDiff) -> list[ChangedRequests]:
    """The groups of requests as the corpus writes them."""
    return [ChangedRequests(row.part, row.before, row.after, row.request) for row in request_rows(diff)]


def rows_of(diff: StackDiff) -> list[str]:
    """The other differences as the corpus writes them."""
    return [
        f"{f'{row.service}: ' if row.service else ''}{row.what}: {row.before} -> {row.after}"
        for row in setting_rows(diff)
    ]


def test_the_corpus_has_at_least_30_changes() -> None:
    assert len(changes()) >= 30


@pytest.mark.parametrize("change", changes(), ids=lambda change: change.name)
def test_a_change_is_told_by_its_requests_and_its_settings(change: Change) -> None:
    diff = diff_of(change.before, change.after)
    assert diff.problems == ()
    assert tuple(requests_of(diff)) == change.requests
    assert tuple(rows_of(diff)) == change.rows
    assert diff.differs


@pytest.mark.parametrize("change", changes(), ids=lambda change: change.name)
def test_taking_a_change_back_shows_the_opposite(change: Change) -> None:
    there, back = diff_of(change.before, change.after), diff_of(change.after, change.before)
    opposite = {(group.after, group.before, group.change.mirrored) for group in back.traffic.groups}
    assert {group.key for group in there.traffic.groups} == opposite
    for group in there.traffic.groups:
        assert group.change in changes_of(group.witness.before, group.witness.after)


@pytest.mark.parametrize("change", changes(), ids=lambda change: change.name)
def test_a_config_does_not_differ_from_itself(change: Change) -> None:
    assert not diff_of(change.after, change.after).differs


def test_a_namespace_that_moves_to_another_revision_of_istio_changes_no_request_and_no_callers() -> None:
    def config(revision: str) -> Config:
        return {
            "mesh": {"revisions": {"1-31": {}, "1-32": {"version": "1.32.0"}}, "revision": "1-31"},
            "namespaces": {"shop": {"revision": revision}},
            "services": {
                "shop": {"hosts": ["shop.example.com"], "versions": {"v1": {"image": "shop:1", "port": 8080}}}
            },
        }

    diff = diff_of(config("1-31"), config("1-32"))
    assert rows_of(diff) == ["namespaces.shop.revision: 1-31 -> 1-32"]
    assert requests_of(diff) == []
    assert access_note(diff) is None
