"""The state of a stack after a run that was killed: what it had begun and not recorded is found in the cluster.

The engine keeps such operations as `pending_operations` of the state, warns of them in every run, and leaves it to a
person to find out what became of each (https://www.pulumi.com/docs/support/troubleshooting/, "interrupted updates").
Here the cluster is asked. What exists is recorded as a resource that did not become ready, so that the next `up`
writes it again and waits for it; what does not exist is forgotten, so that the next `up` makes it.

A deletion that was begun goes on in the cluster, whoever waits for it: a run that is cancelled leaves the resource in
the state, and the next `up` would take it for there. So its end is waited for, and the resource is forgotten.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from canary.command_error import CommandError
from canary.engine.driver import unfinished
from canary.engine.engine_errors import stack_is_missing
from canary.exit_codes import ExitCode
from kube import helm_releases
from kube.objects import find_object

if TYPE_CHECKING:
    from lightkube import Client

    from canary.engine.driver import Engine

KUBERNETES = "kubernetes:"
RELEASE = "kubernetes:helm.sh/v3:Release"
SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"  # noqa: S105 - Pulumi's mark of a wrapped secret
INTERRUPTED = "the run that made this was interrupted"
DELETION_SECONDS = 60.0
POLL_SECONDS = 0.2
State = dict[str, Any]


class Cluster(Protocol):
    """What recovering asks of the cluster."""

    def find(self, api_version: str, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return an object as the API server has it, or None."""

    def release_is_deployed(self, namespace: str, name: str) -> bool:
        """Whether a Helm release is there and whole; what stands in the way of installing it again is cleared."""


@dataclass(frozen=True)
class LiveCluster:
    """The cluster behind a client; raises lightkube's errors."""

    client: Client

    def find(self, api_version: str, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return an object as the API server has it, or None where there is none, or no such kind."""
        return find_object(self.client, api_version, kind, namespace, name)

    def release_is_deployed(self, namespace: str, name: str) -> bool:
        """Whether a Helm release is there and whole; what stands in the way of installing it again is cleared."""
        return helm_releases.is_deployed(self.client, namespace, name)


@dataclass(frozen=True)
class Mended:
    """What recovering did: names of resources by what became of them."""

    recorded: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (
            (self.recorded, "made but not recorded, and are in the state now"),
            (self.forgotten, "not made yet"),
            (self.repeated, "being changed, and will be written again"),
            (self.deleted, "being deleted, and are gone"),
        )
        told = "; ".join(f"{', '.join(names)} {fate}" for names, fate in parts if names)
        return f"a run was interrupted, its state is mended: {told}" if told else ""


Repair = tuple[State, Mended]


def mend(
    engine: Engine,
    with_cluster: Callable[[Callable[[Cluster], Repair]], Repair],
    deleting: AbstractSet[str] = frozenset(),
) -> Mended | None:
    """Bring the stack's state in order; None where nothing was left unfinished.

    `deleting` names, by URN, resources whose deletion was begun and not waited for.
    """
    exported = engine.call("stack", "export", "--show-secrets")
    if stack_is_missing(exported.stderr):
        return None
    if exported.returncode != 0:
        raise CommandError("the stack's state cannot be read", details=tuple(exported.stderr.splitlines()))
    if not deleting and not unfinished(exported.stdout):
        return None
    state: State = json.loads(exported.stdout)
    mended_state, mended = with_cluster(lambda cluster: repaired(state, cluster, deleting))
    imported = engine.call("stack", "import", text=json.dumps(mended_state))
    if imported.returncode != 0:
        raise CommandError(
            "the state that an interrupted run left cannot be mended",
            ExitCode.FAILED,
            fix=f"`pulumi refresh --stack {engine.stack}` asks about each of its resources",
            details=tuple(imported.stderr.splitlines()),
        )
    return mended


def repaired(state: State, cluster: Cluster, deleting: AbstractSet[str] = frozenset()) -> Repair:
    """Return the state without pending operations and without what was being deleted, and what was done for it."""
    state = copy.deepcopy(state)
    deployment = state["deployment"]
    pending = deployment.pop("pending_operations", None) or []
    resources: list[State] = deployment.setdefault("resources", [])
    known = {resource["urn"]: resource for resource in resources if not resource.get("delete")}
    deleting = deleting | {operation["resource"]["urn"] for operation in pending if operation["type"] == "deleting"}
    deleted = _forget_deleted(resources, deleting, cluster)
    recorded, forgotten, repeated = [], [], []
    for operation in pending:
        resource, kind = operation["resource"], operation["type"]
        name = _name(resource)
        if resource["urn"] in deleting and kind == "deleting":
            continue
        if resource["urn"] in known:
            _write_again(known[resource["urn"]], cluster)
            repeated.append(name)
        elif kind == "creating" and _was_made(resource, cluster):
            resources.append(resource)
            recorded.append(name)
        elif kind == "creating":
            forgotten.append(name)
    return state, Mended(*(tuple(dict.fromkeys(names)) for names in (recorded, forgotten, repeated, deleted)))


def _forget_deleted(resources: list[State], deleting: AbstractSet[str], cluster: Cluster) -> list[str]:
    """Take from `resources` what is gone, when its deletion has come to its end; return the names.

    A Helm release is no one object: it is written again by the next `up`, and deleted again by the next `destroy`.
    """
    deadline = time.monotonic() + DELETION_SECONDS
    gone = []
    for resource in [resource for resource in resources if resource["urn"] in deleting]:
        if resource["type"] == RELEASE or resource["type"].endswith("Patch"):
            resource["initErrors"] = [INTERRUPTED]
        elif resource["type"].startswith(KUBERNETES) and _deletion_ended(resource, cluster, deadline):
            resources.remove(resource)
            gone.append(_name(resource))
    _keep_to(resources, {resource["urn"] for resource in resources})
    return gone


def _keep_to(resources: list[State], urns: AbstractSet[str]) -> None:
    """The engine takes no state whose resources depend on one that is not in it."""
    for resource in resources:
        if "dependencies" in resource:
            resource["dependencies"] = [urn for urn in resource["dependencies"] or [] if urn in urns]
        for key, on in (resource.get("propertyDependencies") or {}).items():
            resource["propertyDependencies"][key] = [urn for urn in on or [] if urn in urns]


def _deletion_ended(resource: State, cluster: Cluster, deadline: float) -> bool:
    """Whether the resource's object is gone; one that is on its way is waited for until `deadline`."""
    inputs = plain(resource.get("inputs") or {})
    metadata = inputs.get("metadata") or {}
    place = (inputs.get("apiVersion", ""), inputs.get("kind", ""), metadata.get("namespace") or "")
    while True:
        live = cluster.find(*place, metadata.get("name", ""))
        if live is None:
            return True
        if not (live.get("metadata") or {}).get("deletionTimestamp") or time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)


def _name(resource: State) -> str:
    return str(resource["urn"].rsplit("::", 1)[-1])


def _write_again(resource: State, cluster: Cluster) -> None:
    """A resource that failed to start is updated by the next run, also where nothing else about it changes."""
    resource["initErrors"] = [INTERRUPTED]
    if resource["type"] == RELEASE:
        inputs = plain(resource.get("inputs") or {})
        cluster.release_is_deployed(inputs.get("namespace") or "default", inputs.get("name", ""))


def _was_made(resource: State, cluster: Cluster) -> bool:
    """Whether the resource's object exists; if so, `resource` is completed as the provider would have."""
    if not resource["type"].startswith(KUBERNETES):
        return False
    inputs = plain(resource.get("inputs") or {})
    if resource["type"] == RELEASE:
        namespace, name = inputs.get("namespace") or "default", inputs.get("name")
        if not name or not cluster.release_is_deployed(namespace, name):
            return False
        resource |= {"id": f"{namespace}/{name}", "outputs": resource["inputs"], "initErrors": [INTERRUPTED]}
        return True
    metadata = inputs.get("metadata") or {}
    namespace, name = metadata.get("namespace") or "", metadata.get("name")
    live = cluster.find(inputs.get("apiVersion", ""), inputs.get("kind", ""), namespace, name) if name else None
    if live is None:
        return False
    resource |= {
        "id": f"{namespace}/{name}" if namespace else name,
        "outputs": {
            **resource["inputs"],
            "__inputs": resource["inputs"],
            "__initialApiVersion": inputs.get("apiVersion", ""),
            "__fieldManager": _field_manager(live),
        },
        "initErrors": [INTERRUPTED],
    }
    return True


def _field_manager(live: Mapping[str, Any]) -> str:
    """The name under which the provider made the object: it must go on under the same (server-side apply)."""
    managers = [entry.get("manager", "") for entry in (live.get("metadata") or {}).get("managedFields") or []]
    return next((name for name in managers if name.startswith("pulumi-kubernetes")), "pulumi-kubernetes")


def plain(value: Any) -> Any:
    """Return a value of an export with `--show-secrets`, its secrets unwrapped."""
    if isinstance(value, Mapping):
        if SECRET_SIGNATURE in value and "plaintext" in value:
            return json.loads(value["plaintext"])
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return value
