"""Cases: a route table with requests for it, generated from a seed and read from settings."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.differential.place import below_domain
from tests.differential.requests import requests
from tests.differential.tables import Settings, tables
from tests.differential.wire import WireRequest
from traffic.model import RouteTable, ServiceRouting


@dataclass(frozen=True)
class Case:
    """Settings of services, as in a stack's file, and requests; hosts are below the common domain."""

    table: dict[str, Settings]
    requests: tuple[WireRequest, ...]

    def at(self, number: int) -> Case:
        """Return the case with its hosts below the domain of table `number`."""
        requests = tuple(WireRequest.from_json(below_domain(one.as_json(), number)) for one in self.requests)
        return Case(below_domain(self.table, number), requests)

    @property
    def routes(self) -> RouteTable:
        """The route table of the settings."""
        return routing(self.table)


def routing(table: dict[str, Settings]) -> RouteTable:
    """Return the route table of the settings; raises pydantic's ValidationError."""
    return {name: ServiceRouting.model_validate(service) for name, service in table.items()}


@st.composite
def cases(draw: st.DrawFn, requests_each: int) -> Case:
    """A table and requests for it."""
    table = draw(tables())
    several = st.lists(
        requests(table).filter(lambda one: one.can_be_sent), min_size=requests_each, max_size=requests_each
    )
    return Case(table, tuple(dict.fromkeys(draw(several))))


def generate(count: int, requests_each: int, seed: int) -> list[Case]:
    """Return `count` random cases; the same seed gives the same ones.

    They are generated in a new process: Hypothesis takes some of its texts from the modules that are loaded.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_generate, count, requests_each, seed).result()


def _generate(count: int, requests_each: int, seed: int) -> list[Case]:
    found: list[Case] = []

    def collect(case: Case) -> None:
        found.append(case)

    limits = settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run: Callable[[], Any] = seeded(seed)(limits(given(cases(requests_each))(collect)))
    run()
    return found
