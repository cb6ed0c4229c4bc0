"""The evidence of a rollout's gates for people: numbers by metric, what they prove, and what they were read from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from canary.rollout.errors import explained
from canary.rollout.place import Place
from canary.rollout.reading import SECONDS

if TYPE_CHECKING:
    from rich.table import Table

    from rollout.record import Record

Evidence = Mapping[str, Any]
"""As `rollout.gate_file.evidence_of` wrote it."""

NO_VALUE = "-"


def has_gates(record: Record) -> bool:
    """Whether any rule of the rollout has gates."""
    return any(rule.strategy.gates is not None for rule in record.plan.rules)


def readable(evidence: Any) -> Evidence:
    """Return the evidence that the cluster keeps, or why it cannot be shown: anybody may have changed it."""
    try:
        evidence_table(evidence)
        for _ in (*evidence_rows(evidence), *evidence_lines(evidence), *queries(evidence)):
            pass
        return evidence | {"rollout": evidence["rollout"], "step": int(evidence["step"])}
    except (KeyError, TypeError, ValueError, AttributeError):
        known = evidence if isinstance(evidence, dict) else {}
        text = "the evidence that the cluster keeps is damaged; the next verdict writes it anew"
        return {"rollout": known.get("rollout"), "step": known.get("step"), "text": text}


def unproved(record: Record, evidence: Evidence | None) -> str:
    """Return why the gates do not let the step of a record rise; empty if they do, or if it has none."""
    if record.strategy.gates is None:
        return ""
    if evidence is None or evidence.get("rollout") != record.id or evidence.get("step") != record.step + 1:
        return "nothing is known of this step yet"
    if evidence.get("answer") == "Rise" or (evidence.get("answer") == "Hold" and _only_a_person(record, evidence)):
        return ""
    return str(evidence.get("text", "")) or "nothing is known of this step yet"


def _only_a_person(record: Record, evidence: Evidence) -> bool:
    """Whether a person's word is all that is missing."""
    kept = evidence.get("observedSeconds", 0.0) >= record.plan.steps[record.step].hold_seconds
    return record.strategy.promotes == "hand" and kept and bool(evidence.get("proved"))


def read_unproved(place: Place) -> str:
    """Return the same of the rollout in the cluster; raises CommandError if it cannot be read."""
    from kube.client import query
    from rollout.store import RolloutStore

    def ask(client: Any) -> str:
        store = RolloutStore(client, place.namespace, place.service)
        stored = store.read()
        if stored is None or stored.record.strategy.gates is None:
            return ""
        found = store.read_gates()
        return unproved(stored.record, None if found is None else readable(found[0]))

    with explained(place):
        return query(place.cluster, ask, within=SECONDS)


def evidence_table(evidence: Evidence) -> Table:
    """Return the numbers of each metric: how often both versions failed, and what that says."""
    from canary.rollout.table import new_table

    table = new_table()
    table.add_column("metric")
    for name in ("new", "old", "harm", "proof", "at most worse by"):
        table.add_column(name, justify="right")
    for one in evidence.get("metrics", ()):
        table.add_row(
            one["name"],
            _rate(one["new"]),
            _rate(one["old"]) if one["name"] != "limit" else NO_VALUE,
            f"e {one['e']:.3g}" + (", tolerated" if one["tolerated"] else ""),
            NO_VALUE if one["proofE"] is None else f"e {one['proofE']:.3g} of {evidence['proofAt']:.3g}",
            NO_VALUE if one["bound"] is None else f"{100 * one['bound']:.3g} points",
        )
    return table


def evidence_rows(evidence: Evidence) -> Iterator[str]:
    """Yield the same numbers as lines."""
    for one in evidence.get("metrics", ()):
        proof = "" if one["proofE"] is None else f", proof e {one['proofE']:.3g} of {evidence['proofAt']:.3g}"
        bound = "" if one["bound"] is None else f", at most {100 * one['bound']:.3g} points worse"
        old = "" if one["name"] == "limit" else f", old {_rate(one['old'])}"
        yield f"{one['name']}: new {_rate(one['new'])}{old}, harm e {one['e']:.3g}{proof}{bound}"


def evidence_lines(evidence: Evidence) -> Iterator[str]:
    """Yield what the numbers mean together, and what they were read from."""
    if "answer" not in evidence:
        if evidence.get("text"):
            yield f"gates:     {evidence['text']}"
        return
    yield f"gates:     {evidence['answer']}: {evidence['text']}"
    yield (
        f"evidence:  e {evidence['e']:.3g}; suspect from {evidence['suspectAt']:g}, harm from "
        f"{evidence['harmAt']:.3g}; tolerance {100 * evidence['tolerance']:.3g} points; "
        f"{evidence['blocks']} blocks, {evidence['observedSeconds']:.0f} s of this step"
    )
    for one in evidence["splits"]:
        wrong = ", which is wrong" if one["wrong"] else ""
        share = f"{one['version']} {one['share']:.3g} % of {one['rule']}"
        yield f"split:     {share}, its weight {one['weight']:g} %{wrong}"
    for one in evidence["metrics"]:
        if one["inBursts"]:
            yield f"bursts:    {one['name']} come in bursts (scatter {one['phi']:.2g}): everything takes so much longer"
    yield f"samples:   {evidence['samples']} read last, the newest of {evidence['newest'] or 'no time'}"


def _rate(counts: Mapping[str, float]) -> str:
    requests, failures = counts["requests"], counts["failures"]
    if not requests:
        return "no requests"
    return f"{failures:.0f} of {requests:.0f} ({100 * failures / requests:.3g} %)"


def queries(evidence: Evidence) -> Iterator[str]:
    """Yield the queries that the samples were read with."""
    for one in evidence.get("queries", ()):
        yield f"query:     {one}"
