"""What the gates of a rollout have seen and decided, as it is kept in the cluster and in a file for a replay.

The evidence is for people: the numbers of the last verdict. The decisions are all that a replay needs, by runs: each
runner that took the rollout over has read the blocks anew, so that they may differ.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import exp, log
from typing import Any

from rollout.gate_reader import GateReading
from rollout.gates.decide import CANARY, STABLE
from rollout.gates.evidence import MetricEvidence
from rollout.gates.plan import SUSPICION
from rollout.gates.replay import Decisions, ReplayError, from_json, parsed, to_json
from rollout.record import Record
from rollout.warm_ups import words
from traffic.fields import DNS_LABEL

SCHEMA = 1
HEAD_END = ',"runs":['
"""How the first line of a file ends. Each run is a line after it, so that one can be taken as it is."""

MOST = log(1e9)

ROLLOUT = rf"{DNS_LABEL}-[0-9]+"
"""A rollout's name."""


@dataclass(frozen=True, kw_only=True)
class GateFile:
    """The decisions of a rollout, by runs, the earliest first; `left_out` of the last run did not fit."""

    rollout: str
    runs: tuple[Decisions, ...]
    left_out: int = 0


def unpacked(content: bytes) -> str:
    """Return the file of packed decisions; raises ReplayError."""
    try:
        return gzip.decompress(content).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ReplayError(f"the decisions cannot be read: {error}") from None


def gate_file(text: str) -> GateFile:
    """Return the decisions in a file; raises ReplayError."""
    data = parsed(text)
    runs = data.get("runs") if isinstance(data, dict) else None
    if not isinstance(runs, list) or not isinstance(data.get("rollout"), str) or type(data.get("schema")) is not int:
        raise ReplayError("the file has no decisions of a rollout's gates")
    if not re.fullmatch(ROLLOUT, data["rollout"]):  # it is printed
        raise ReplayError(f"the rollout {data['rollout']!a} is none: its name is that of the service and a number")
    if data["schema"] != SCHEMA:
        raise ReplayError(f"the file is of schema {data['schema']}, and this version reads {SCHEMA}")
    left_out = data.get("leftOut", 0)
    found = tuple(from_json(json.dumps(one)) for one in runs)
    return GateFile(rollout=data["rollout"], runs=found, left_out=left_out if type(left_out) is int else 0)


def run_texts(text: str) -> tuple[str, ...]:
    """Return the runs in a file, each as text; raises ReplayError. Those in lines of their own are not looked into."""
    head, *runs = text.split("\n")[:-1] or [text]
    if not head.endswith(HEAD_END):  # an older version wrote it
        return tuple(to_json(one) for one in gate_file(text).runs)
    gate_file(f"{head}]}}")
    return tuple(one.removesuffix(",") for one in runs)


def evidence_of(record: Record, reading: GateReading, now: str) -> dict[str, Any]:
    """Return what the last verdict was made from, for `status` and `report`: by metric, with query and samples."""
    verdict, plan = reading.verdict, record.plan.gates
    found: dict[str, Any] = {"rollout": record.id, "step": record.step + 1, "at": now, "text": reading.text}
    if verdict is None or plan is None:
        return found
    newest = reading.asked.newest
    versions = {CANARY: record.target.version, STABLE: record.from_.version}
    return {
        **found,
        "answer": verdict.answer.value,
        "text": verdict.reason,
        "e": number(exp(min(verdict.log_e, MOST))),
        "harmAt": number(1 / plan.alpha),
        "suspectAt": SUSPICION,
        "proofAt": number(1 / plan.beta),
        "promote": plan.promote,
        "proved": is_proved(verdict.metrics, plan.beta),
        "tolerance": plan.tolerance,
        "observedSeconds": round(verdict.observed_seconds, 1),
        "blocks": 0 if reading.decisions is None else len(reading.decisions.blocks),
        "latency": words(record, now),
        "metrics": [_metric(one, reading) for one in verdict.metrics],
        "splits": [
            {
                "rule": rule,
                "version": versions.get(one.version, one.version),
                "weight": one.weight,
                "share": number(one.share),
                "wrong": one.wrong,
            }
            for rule, one in (verdict.splits or {}).items()
        ],
        "queries": list(reading.asked.queries),
        "samples": reading.asked.samples,
        "newest": None if newest is None else datetime.fromtimestamp(newest, UTC).isoformat(timespec="milliseconds"),
    }


def is_proved(metrics: Sequence[MetricEvidence], beta: float) -> bool:
    """Return whether nothing is left to prove for the next weight."""
    asked = [one.proof_log_e for one in metrics if one.proof_log_e is not None]
    return all(one >= log(1 / beta) for one in asked)


def _metric(one: MetricEvidence, reading: GateReading) -> dict[str, Any]:
    n_c, n_s, f_c, f_s = one.counts
    since = one.since
    return {
        "name": one.name,
        "new": {"requests": n_c, "failures": f_c},
        "old": {"requests": n_s, "failures": f_s},
        "e": number(exp(min(one.log_e, MOST))),
        "share": one.share,
        "phi": number(one.phi),
        "inBursts": one.in_bursts,
        "tolerated": one.tolerated,
        "since": None if since is None else datetime.fromtimestamp(since.at, UTC).isoformat(timespec="seconds"),
        "difference": one.difference,
        "proofE": None if one.proof_log_e is None else number(exp(min(one.proof_log_e, MOST))),
        "bound": number(reading.bounds[one.name]) if one.name in reading.bounds else None,
    }


def number(value: float) -> float:
    """Return a number with the digits that matter."""
    return float(f"{value:.6g}")
