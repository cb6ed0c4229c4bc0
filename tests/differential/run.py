"""Applies tables, sends requests, and compares the answers with the simulator's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import yaml

from tests.differential.cases import Case
from tests.differential.cluster import Cluster, owners
from tests.differential.compare import differences
from tests.differential.expected import Expected, expected_of
from tests.differential.shrink import shrink
from tests.differential.wire import Answer, WireRequest
from traffic.model import RouteTable

Position = tuple[int, int]
"""The number of a table, and the index of a request in its case."""
Expect = Callable[[RouteTable, WireRequest], Expected]


@dataclass(frozen=True)
class Disagreement:
    """A table and one request for which simulator and Envoy differ, and the differences."""

    case: Case
    differences: tuple[str, ...]

    def report(self, gateway: str) -> str:
        """The counterexample as text: settings, the request as a curl command, what was expected and what was seen."""
        case = self.case.at(0)
        settings = yaml.safe_dump({"istio-canary:services": case.table}, sort_keys=False, allow_unicode=True)
        return "\n".join([settings.rstrip(), "", case.requests[0].curl(gateway), "", *self.differences])


@dataclass
class Differential:
    """The comparison on a cluster; `expect` can replace the simulator.

    `patience` is the number of seconds to wait for mirrored copies. `pairs` and `kinds` count what was compared.
    """

    cluster: Cluster
    expect: Expect = expected_of
    patience: float = 5.0
    pairs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    _runs: int = field(default=0, init=False)

    def check(self, cases: Sequence[Case]) -> list[Disagreement]:
        """Apply all cases with one push, send their requests, and return where simulator and Envoy differ.

        Requests for a service's DNS name inside the mesh are sent only for the first table that binds the service to
        the mesh, because only one VirtualService can have that host.
        """
        placed = {number: case.at(number) for number, case in enumerate(cases)}
        tables = {number: case.routes for number, case in placed.items()}
        refused = self.cluster.apply(tables)
        sent = self._sendable(placed, tables, refused)
        expected = {position: self.expect(tables[position[0]], request) for position, request in sent.items()}
        answers = self._ask(sent, expected)
        # When another test creates a Service, sidecars change their listeners and reset connections: send those again.
        lost = {
            position: request
            for position, request in sent.items()
            if not answers[position].status and expected[position].status
        }
        answers |= self._ask(lost, expected)
        self.pairs += len(sent)
        self.kinds.update(kind for one in expected.values() for kind in one.kinds)
        found = [
            Disagreement(_one(cases[number], 0), (f"Istio refuses the table: {reason}",))
            for number, reason in refused.items()
        ]
        for (number, index), request in sent.items():
            differing = differences(expected[number, index], request, answers[number, index])
            if differing:
                found.append(Disagreement(_one(cases[number], index), differing))
        return found

    def shrink(self, found: Disagreement) -> Disagreement:
        """Return the smallest counterexample that can be made from `found` by removing parts."""
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
    ) -> dict[Position, WireRequest]:
        owner = owners(tables)
        return {
            (number, index): request
            for number, case in cases.items()
            if number not in refused
            for index, request in enumerate(case.requests)
            if not request.by_dns_name or owner.get(request.service(case.table) or "") == number
        }

    def _ask(
        self, sent: Mapping[Position, WireRequest], expected: Mapping[Position, Expected]
    ) -> dict[Position, Answer]:
        """Send all requests, and wait for mirrored copies, which can arrive long after the answer."""
        self._runs += 1
        prefix = f"{self._runs}-{time.time_ns()}-"
        keys = {position: f"{prefix}{position[0]}-{position[1]}" for position in sent}
        answers = self.cluster.client.send_all({keys[position]: request for position, request in sent.items()})
        deadline = time.monotonic() + self.patience
        seen = self.cluster.client.seen(prefix)
        while any(len(seen.get(keys[position], ())) < expected[position].arrivals for position in sent):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
            seen = self.cluster.client.seen(prefix)
        return {position: replace(answers[key], seen=tuple(seen.get(key, ()))) for position, key in keys.items()}


def _one(case: Case, index: int) -> Case:
    return replace(case, requests=case.requests[index : index + 1])
