"""Client of Prometheus' HTTP API: instant and range queries (Prometheus, "HTTP API", "Expression queries")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import httpx

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
NOT_PROMETHEUS = "check that the URL is that of Prometheus itself, where /api/v1/status/buildinfo answers with JSON"


class PrometheusError(Exception):
    """Prometheus gave no answer to a query. `str()` is one sentence with the reason; `fix` says what to do."""

    def __init__(self, url: str, reason: str, fix: str) -> None:
        super().__init__(f"no answer from Prometheus at {url}: {reason}")
        self.reason = reason
        self.fix = fix


@dataclass(frozen=True)
class Sample:
    """One element of an instant vector; `time` is in seconds since 1970."""

    labels: Mapping[str, str]
    time: float
    value: float


@dataclass(frozen=True)
class Series:
    """One series of a range; each point is a time, in seconds since 1970, and a value."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class Prometheus:
    """A Prometheus, or another server with its HTTP API, such as Thanos or Mimir.

    `url` may have a path. `timeout`, in seconds, and `headers`, such as Authorization, are for each query. Every query
    raises PrometheusError if there is no answer to it. Values that are NaN stay NaN.
    """

    def __init__(self, url: str, timeout: float = 5.0, headers: Mapping[str, str] | None = None) -> None:
        import httpx

        self.url = url.rstrip("/")
        self._timeout = timeout
        # A proxy that the environment names cannot reach a port that is forwarded to this machine.
        without_proxy = {f"all://{host}": None for host in LOOPBACK}
        self._client = httpx.Client(timeout=timeout, headers=headers, mounts=without_proxy)

    def instant(self, query: str, at: float | None = None) -> tuple[Sample, ...]:
        """Return the result of a query at the time `at`, in seconds since 1970; by default now."""
        form = {"query": query} if at is None else {"query": query, "time": _number(at)}
        kind, result = self._ask("query", form, ("vector", "scalar"))
        elements = [{"metric": {}, "value": result}] if kind == "scalar" else result
        return tuple(Sample(element["metric"], *_point(element["value"])) for element in elements)

    def range(self, query: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """Return the result of a query from `start` to `end`, in seconds since 1970, every `step` seconds."""
        form = {"query": query, "start": _number(start), "end": _number(end), "step": _number(step)}
        _, result = self._ask("query_range", form, ("matrix",))
        return tuple(Series(one["metric"], tuple(map(_point, one["values"]))) for one in result)

    def samples(self, query: str, at: float | None = None) -> tuple[Series, ...]:
        """Return the stored samples that a range selector such as `up[5m]` selects, up to the time `at`."""
        form = {"query": query} if at is None else {"query": query, "time": _number(at)}
        _, result = self._ask("query", form, ("matrix",))
        return tuple(Series(one["metric"], tuple(map(_point, one["values"]))) for one in result)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, endpoint: str, form: Mapping[str, str], kinds: tuple[str, ...]) -> tuple[str, Any]:
        """The type and the result of a query; by POST, since a query may be longer than a URL may be."""
        data = self._data(self._post(endpoint, form))
        kind, result = data["resultType"], data["result"]
        if kind not in kinds:
            raise PrometheusError(
                self.url, f"the result is a {kind}", f"write a query whose result is a {' or a '.join(kinds)}"
            )
        return kind, result

    def _post(self, endpoint: str, form: Mapping[str, str]) -> httpx.Response:
        import httpx

        try:
            return self._client.post(f"{self.url}/api/v1/{endpoint}", data={**form, "timeout": f"{self._timeout:g}s"})
        except httpx.TimeoutException:
            fix = "ask for a shorter time, or allow more of it; check Prometheus' own load"
            raise PrometheusError(self.url, f"it took longer than {self._timeout:g} s", fix) from None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            fix = "write a URL such as http://prometheus.example.com:9090"
            raise PrometheusError(self.url, f"not a URL ({error})", fix) from None
        except httpx.RequestError as error:
            fix = "check that Prometheus runs and that the URL is right"
            raise PrometheusError(self.url, str(error).rstrip(".") or type(error).__name__, fix) from None

    def _data(self, response: httpx.Response) -> Mapping[str, Any]:
        """The result of a query with its type."""
        try:
            answer = response.json()
        except ValueError:
            answer = None
        is_error = isinstance(answer, dict) and answer.get("status") == "error"
        problem = answer.get("error", "no reason is given") if is_error else None
        if response.status_code != 200:
            text = f": {problem}" if problem else ""
            fix = _FIXES.get(response.status_code, NOT_PROMETHEUS)
            raise PrometheusError(self.url, f"HTTP {response.status_code}{text}", fix)
        if problem:
            raise PrometheusError(self.url, f"{answer.get('errorType', 'error')}: {problem}", "check Prometheus' log")
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict) or not {"resultType", "result"} <= data.keys():
            raise PrometheusError(self.url, "what answers there is not a Prometheus", NOT_PROMETHEUS)
        return data


_QUERY = "check the query; a Prometheus older than 3 may lack some of its functions"
_LOG_IN = "use a URL of Prometheus that asks for no login, such as that of its Service in the cluster"
_FIXES = {
    400: _QUERY,
    401: _LOG_IN,
    403: _LOG_IN,
    422: f"ask for a shorter time; {_QUERY}",
    503: "ask for a shorter time, or wait until Prometheus has started",
}
"""What to do, by HTTP status (Prometheus, "HTTP API", "Format overview")."""


def _number(value: float) -> str:
    return f"{value:.3f}"


def _point(point: tuple[float, str]) -> tuple[float, float]:
    """A time and its value, which Prometheus writes as text since JSON has no NaN."""
    return float(point[0]), float(point[1])
