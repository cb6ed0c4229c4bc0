"""What a series of Envoy or of Istio counts for, and what each metric takes for a request and for a failure.

errors: requests are answers to callers, Envoy's own too, and requests whose caller gave up; 5xx, failed calls of gRPC
and given up ones are failures. attempts: repeated tries are requests and failures as well, so that retries hide
nothing. latency: requests slower than a bound. clientErrors: answers 4xx. begun: requests by when they began, which the
split is judged by. unrouted: requests that no version got. The formulas of `metrics.queries` say which counters these
are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from metrics import series_names
from metrics.queries import Source
from rollout.gates.blocks import ATTEMPTS, BEGUN, CLIENT_ERRORS, ERRORS, LATENCY, UNROUTED

ACTIVE = "active"
"""The only field that is no counter: requests that are running."""

_FIELDS: dict[str, tuple[str, ...]] = {
    series_names.COMPLETED: ("completed",),
    series_names.RETRIED: ("retried",),
    series_names.ACTIVE: (ACTIVE,),
    series_names.CONNECTED: ("tries",),
    series_names.CANCELLED: ("tries", "ended"),
    series_names.REFUSED: ("tries",),
    series_names.NO_HEALTHY_POD: ("tries", "unsent"),
    series_names.RESET: ("ended",),
    series_names.CLOSED: ("ended",),
    **dict.fromkeys(series_names.LIMITS, ("tries", "unsent")),
}
"""What Envoy's statistics of a cluster count for."""

_BY_CLASS: dict[str, tuple[str, ...]] = {"4xx": ("rejected",), "5xx": ("failed",)}
"""What an answer counts for by the class of its status, beside being one."""


@dataclass(frozen=True)
class Subset:
    """Whose requests a subset gets: the key of the rule, and whether it is the canary's."""

    rule: str
    canary: bool


NO_SUBSET = Subset("", False)
"""Of requests whose route leads to a cluster that does not exist."""

Key = tuple[Subset, str]
"""What a counter counts for: the subset, and the name of a field."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What the counters mean.

    `bound` is that of slow requests in milliseconds, None without latency; `client_errors` says whether answers 4xx are
    compared.
    """

    service: str
    source: Source
    subsets: Mapping[str, Subset]
    bound: float | None = None
    client_errors: bool = False

    def fields(self, labels: Mapping[str, str]) -> tuple[tuple[Subset, str], ...]:
        """Return what a series of Envoy or Istio counts for."""
        name = labels.get("__name__", "")
        if name == series_names.NO_CLUSTER:
            return ((NO_SUBSET, UNROUTED),)
        if name.startswith(series_names.ENVOY):
            subset = self._of_cluster(labels.get("cluster_name", ""))
            names = self._of_statistic(name.removeprefix(series_names.ENVOY), labels)
        else:
            subset = self._of_revision(labels)
            names = self._of_istio(name, labels) if self.source is Source.ISTIO else ()
        return () if subset is None else tuple((subset, one) for one in names)

    def _of_cluster(self, cluster: str) -> Subset | None:
        parts = cluster.split("|")
        if len(parts) != 4 or parts[0] != "outbound":
            return None
        return self.subsets.get(parts[2] or parts[3].partition(".")[0])  # a version may be a Service of its own

    def _of_revision(self, labels: Mapping[str, str]) -> Subset | None:
        revision = labels.get(series_names.REVISION, "")
        return self.subsets.get(revision) or self.subsets.get(revision.removeprefix(f"{self.service}-"))

    def _of_statistic(self, statistic: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        if self.source is Source.ISTIO:
            names = _FIELDS.get(statistic, ())
            return tuple(name for name in names if name in ("retried", "unsent", ACTIVE))
        if statistic == series_names.BY_CODE:
            return _BY_CLASS.get(labels.get("response_code_class", ""), ())
        if statistic.startswith(series_names.CALLS):
            return ("failed calls",) if statistic.removeprefix(series_names.CALLS) in series_names.FAILED_CALLS else ()
        if statistic == series_names.TIME:
            return self._timed(labels)
        return _FIELDS.get(statistic, ())

    def _of_istio(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        code, flags = labels.get("response_code", ""), labels.get("response_flags", "")
        if labels.get("reporter") != "source" or "UH" in flags.split(","):
            return ()
        failed = code == "0" or _class_of(code) == "5xx" or _is_failed_call(labels)
        if name == series_names.ISTIO_TIME:
            return () if failed else self._timed(labels)
        if name != series_names.ISTIO_REQUESTS:
            return ()
        if code == "0":
            return ("gave up",)
        return ("completed", *(("failed",) if failed else _BY_CLASS.get(_class_of(code), ())))

    def _timed(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        if self.bound is None:
            return ()
        upto = float(labels.get("le", "nan").replace("+Inf", "inf"))
        return ("timed",) if upto == inf else ("fast",) if upto == self.bound else ()


def numbers(values: Mapping[str, float], source: Source) -> dict[str, tuple[float, float]]:
    """Return requests and failures of each metric, from the growth of one version's fields."""

    def of(name: str) -> float:
        return values.get(name, 0.0)

    # An answer of Envoy's own to a call of gRPC is counted as 5xx, and by the status of the call, too.
    completed, failed = of("completed"), max(of("failed"), of("failed calls"))
    if source is Source.ISTIO:  # it does not know the version of requests for which no pod was chosen
        completed, failed, gave_up = completed + of("unsent"), failed + of("unsent"), of("gave up")
    else:
        unknown = of("tries") - completed - of("retried") - of(ACTIVE)
        gave_up = max(min(unknown, of("ended")), 0.0)
    return {
        BEGUN: (max(completed + gave_up + of(ACTIVE), 0.0), 0.0),
        ERRORS: (completed + gave_up, failed + gave_up),
        ATTEMPTS: (completed + of("retried"), failed + of("retried")),
        LATENCY: (of("timed"), of("timed") - of("fast")),
        CLIENT_ERRORS: (completed, of("rejected")),
    }


def _class_of(code: str) -> str:
    """The class of a status of HTTP, such as `5xx`."""
    return f"{code[0]}xx" if len(code) == 3 and code.isdigit() else ""


def _is_failed_call(labels: Mapping[str, str]) -> bool:
    """Whether a call of gRPC failed for a reason of the server's, which HTTP's status 200 hides."""
    return labels.get("grpc_response_status", "") in series_names.FAILED_CALLS
