"""Applies tables, sends requests, and compares what came of them with what the simulator says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import yaml

from tests.differential.asked import Answer, Asked
from tests.differential.cases import Case
from tests.differential.cluster import Cluster, owners
from tests.differential.compare import differences
from tests.differential.expected import Expected, expected_of
from tests.differential.shrink import shrink
from traffic.model import RouteTable

Place = tuple[int, int]
"""A table's number, and a request's in it."""
Expect = Callable[[RouteTable, Asked], Expected]


@dataclass(frozen=True)
class Disagreement:
    """A table and one request on which simulator and Envoy differ, and in what."""

    case: Case
    differences: tuple[str, ...]

    def told(self, gateway: str) -> str:
        """The counterexample for a person: settings, the request by hand, what was expected and seen."""
        case = self.case.at(0)
        settings = yaml.safe_dump({"istio-canary:services": case.table}, sort_keys=False, allow_unicode=True)
        return "\n".join([settings.rstrip(), "", case.requests[0].curl(gateway), "", *self.differences])


@dataclass
class Differential:
    """The comparison on a cluster; `expect` is what the simulator says, for those who want another one.

    `patience` is how many seconds mirrored copies may take to arrive. `pairs` and `kinds` count what was compared.
    """

    cluster: Cluster
    expect: Expect = expected_of
    patience: float = 5.0
    pairs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    _runs: int = field(default=0, init=False)

    def check(self, cases: Sequence[Case]) -> list[Disagreement]:
        """Apply all cases with one push, send their requests, and return where simulator and Envoy differ.

        Requests for a service's own name inside the mesh count only in the first table that binds the service to the
        mesh, for that name is there only once.
        """
        placed = {number: case.at(number) for number, case in enumerate(cases)}
        tables = {number: case.routes for number, case in placed.items()}
        refused = self.cluster.apply(tables)
        sent = self._sendable(placed, tables, refused)
        expected = {place: self.expect(tables[place[0]], asked) for place, asked in sent.items()}
        answers = self._ask(sent, expected)
        # A Service that somebody else makes in the mesh changes listeners of sidecars, which reset what is under way.
        lost = {place: asked for place, asked in sent.items() if not answers[place].status and expected[place].status}
        answers |= self._ask(lost, expected)
        self.pairs += len(sent)
        self.kinds.update(kind for one in expected.values() for kind in one.kinds)
        found = [
            Disagreement(_one(cases[number], 0), (f"Istio refuses the table: {reason}",))
            for number, reason in refused.items()
        ]
        for (number, index), asked in sent.items():
            differing = differences(expected[number, index], asked, answers[number, index])
            if differing:
                found.append(Disagreement(_one(cases[number], index), differing))
        return found

    def shrink(self, found: Disagreement) -> Disagreement:
        """Return the smallest counterexample that comes of `found` by taking things away."""
        if found.case.requests[0].by_dns_name:
            smallest = shrink(found.case, self._disagree, at_once=1)
        else:
            smallest = shrink(found.case, self._disagree)
        return next(iter(self.check([smallest])), found)

    def _disagree(self, cases: Sequence[Case]) -> list[bool]:
        wrong = [disagreement.case for disagreement in self.check(cases)]
        return [case in wrong for case in cases]

    def _sendable(
        self, cases: Mapping[int, Case], tables: Mapping[int, RouteTable], refused: Mapping[int, str]
    ) -> dict[Place, Asked]:
        owner = owners(tables)
        return {
            (number, index): asked
            for number, case in cases.items()
            if number not in refused
            for index, asked in enumerate(case.requests)
            if not asked.by_dns_name or owner.get(asked.service(case.table) or "") == number
        }

    def _ask(self, sent: Mapping[Place, Asked], expected: Mapping[Place, Expected]) -> dict[Place, Answer]:
        """Send everything, and wait for mirrored copies, which arrive when the answer is long there."""
        self._runs += 1
        prefix = f"{self._runs}-{time.time_ns()}-"
        keys = {place: f"{prefix}{place[0]}-{place[1]}" for place in sent}
        answers = self.cluster.client.send_all({keys[place]: asked for place, asked in sent.items()})
        deadline = time.monotonic() + self.patience
        seen = self.cluster.client.seen(prefix)
        while any(len(seen.get(keys[place], ())) < expected[place].arrivals for place in sent):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
            seen = self.cluster.client.seen(prefix)
        return {place: replace(answers[key], seen=tuple(seen.get(key, ()))) for place, key in keys.items()}


def _one(case: Case, index: int) -> Case:
    return replace(case, requests=case.requests[index : index + 1])
