"""Queries to the API server with a deadline, and errors with a fix."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from kube import credential_plugin, kubeconfig
from kube.kubeconfig import ClusterAccess, ClusterUnreachableError

if TYPE_CHECKING:
    from lightkube import Client, SingleConfig

DEADLINE = 5.0
"""Seconds for a few short requests, including name resolution and credential plugins."""

MORE_INFORMATION = "For more information check:"
"""httpx ends its messages with a link to an explanation of the HTTP status."""

FORBIDDEN = re.compile(
    r'cannot (\w+) resource "([^"]+)" in API group "([^"]*)" (?:in the namespace "([^"]+)"|at the cluster scope)'
)
"""The end of the API server's message for a right that is missing."""

T = TypeVar("T")


def query(cluster: ClusterAccess, ask: Callable[[Client], T], within: float | None = None) -> T:
    """Call `ask` with a client of the cluster and return its result, within `within` seconds (default: DEADLINE).

    Raises ClusterUnreachableError if the cluster does not answer or refuses.
    """
    within = DEADLINE if within is None else within
    config = kubeconfig.choose(cluster)
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            with kubeconfig.client(config) as client:
                outcome["answer"] = ask(client)
        except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
            outcome["error"] = error

    # In a thread, since name resolution and credential plugins ignore the client's timeouts.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(within)
    if "error" in outcome:
        raise _explained(config, outcome["error"])
    if "answer" not in outcome:
        raise _too_late(config, within)
    answer: T = outcome["answer"]
    return answer


def require(cluster: ClusterAccess) -> None:
    """Raise ClusterUnreachableError unless the cluster answers."""
    from lightkube.resources.core_v1 import Namespace

    query(cluster, lambda client: client.get(Namespace, "kube-system"))


def _explained(config: SingleConfig, error: Exception) -> Exception:
    import httpx2
    import msgspec
    from lightkube.core.exceptions import ConfigError

    of_plugin = credential_plugin.failure(config, error)
    if of_plugin is not None:
        return ClusterUnreachableError(kubeconfig.describe(config), *of_plugin)
    if isinstance(error, httpx2.HTTPStatusError):
        return _refused(config, error)
    if isinstance(error, (httpx2.TimeoutException, TimeoutError)):
        return _unreachable(config, "no answer in time")
    if isinstance(error, httpx2.TransportError):
        return _no_connection(config, str(error))
    if isinstance(error, msgspec.MsgspecError):
        return _unreachable(config, f"the server is not a Kubernetes API server ({error})")
    if isinstance(error, (ConfigError, OSError)):
        return ClusterUnreachableError(
            kubeconfig.describe(config),
            f"no credentials: {error}",
            "log in to the cluster as described by its provider, until `kubectl get namespaces` works",
        )
    return error


def _refused(config: SingleConfig, error: Any) -> ClusterUnreachableError:
    status = error.response.status_code
    said = str(error).partition(MORE_INFORMATION)[0].strip()
    fixes = {
        401: "the credentials are invalid or expired: log in again, or fetch a new kubeconfig",
        403: f"have {_right_in(said)} granted (docs/rights.md has the rights of each command), or use another context",
    }
    return ClusterUnreachableError(
        kubeconfig.describe(config),
        f"HTTP {status}: {said}",
        fixes.get(status, "check the API server's log"),
        kubeconfig.REFUSED if status in fixes else "cannot reach the cluster",
    )


def _right_in(said: str) -> str:
    """The right that the API server's message says is missing."""
    found = FORBIDDEN.search(said)
    if found is None:
        return "the right"
    verb, resource, group, namespace = found.groups()
    where = f"in the namespace {namespace}" if namespace else "in the whole cluster"
    return f"the right to {verb} {resource}{'.' + group if group else ''} {where}"


def _no_connection(config: SingleConfig, reason: str) -> ClusterUnreachableError:
    if "CERTIFICATE" in reason.upper():
        fix = "the kubeconfig does not match the server: fetch a new one"
        return ClusterUnreachableError(kubeconfig.describe(config), reason, fix)
    return _unreachable(config, reason)


def _too_late(config: SingleConfig, within: float) -> ClusterUnreachableError:
    reason = f"no answer within {within:g} s"
    plugin = credential_plugin.name(config)
    if plugin is None:
        return _unreachable(config, reason)
    return _unreachable(
        config,
        f"{reason}; perhaps the credential plugin `{plugin}` waits for a login",
        "log in first (run the plugin, or `kubectl get namespaces`); or ",
    )


def _unreachable(config: SingleConfig, reason: str, first: str = "") -> ClusterUnreachableError:
    return ClusterUnreachableError(
        kubeconfig.describe(config),
        reason,
        f"{first}start the cluster (the sandbox: `canary sandbox up`; minikube: `minikube start`), or name another "
        "context with istio-canary:cluster.context",
    )
