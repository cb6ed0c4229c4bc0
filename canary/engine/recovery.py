"""Recovers a stack's state after an interrupted run.

The engine keeps unfinished operations as `pending_operations` in the state, warns of them in every run, and leaves it
to the user to find out how each one ended (https://www.pulumi.com/docs/support/troubleshooting/, "interrupted
updates"). Here the cluster is queried. An object that exists is recorded as a resource that did not become ready, so
that the next `up` writes it again and waits for it; one that does not exist is dropped, so that `up` creates it.

A deletion continues in the cluster after its run was cancelled, but the resource is still in the state, and the next
`up` would assume that it exists. So recovery waits for the end of the deletion, and then drops the resource.
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
from canary.engine.locks import Lock, locks_in
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
    """What recovery needs to know about the cluster."""

    def find(self, api_version: str, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return the live object, or None."""

    def release_is_deployed(self, namespace: str, name: str) -> bool:
        """Return whether a Helm release is deployed, after removing revisions that block a new installation."""


@dataclass(frozen=True)
class LiveCluster:
    """The cluster of a lightkube client, whose errors it raises."""

    client: Client

    def find(self, api_version: str, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return the live object, or None if it or its kind does not exist."""
        return find_object(self.client, api_version, kind, namespace, name)

    def release_is_deployed(self, namespace: str, name: str) -> bool:
        """Return whether a Helm release is deployed, after removing revisions that block a new installation."""
        return helm_releases.is_deployed(self.client, namespace, name)


@dataclass(frozen=True)
class Recovered:
    """The result of a recovery: the names of the resources, by what was done with them in the state."""

    recorded: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (
            ("created but not recorded, now in the state", self.recorded),
            ("not created yet", self.dropped),
            ("being updated, to be written again", self.repeated),
            ("deleted", self.deleted),
        )
        found = "; ".join(f"{fate}: {', '.join(names)}" for fate, names in parts if names)
        return f"recovered the state after an interrupted run ({found})" if found else ""


Repair = tuple[State, Recovered]


def recover(
    engine: Engine,
    with_cluster: Callable[[Callable[[Cluster], Repair]], Repair],
    resolve: Callable[[tuple[Lock, ...]], None],
    deleting: AbstractSet[str] = frozenset(),
) -> Recovered | None:
    """Recover the stack's state and return what was done; None if no operation was left unfinished.

    `resolve` releases the locks of dead runs. `deleting` are the URNs of resources whose deletion was started but not
    awaited. Raises CommandError if the state cannot be read or written.
    """
    exported = engine.call("stack", "export", "--show-secrets")
    if stack_is_missing(exported.stderr):
        return None
    if exported.returncode != 0:
        raise CommandError("the stack's state cannot be read", details=tuple(exported.stderr.splitlines()))
    if not deleting and not unfinished(exported.stdout):
        return None
    state: State = json.loads(exported.stdout)
    repaired_state, recovered = with_cluster(lambda cluster: repaired(state, cluster, deleting))
    imported = engine.call("stack", "import", text=json.dumps(repaired_state))
    if locks := locks_in(imported.stderr):
        resolve(locks)
        imported = engine.call("stack", "import", text=json.dumps(repaired_state))
    if imported.returncode != 0:
        raise CommandError(
            "the state of an interrupted run cannot be recovered",
            ExitCode.FAILED,
            fix=f"run `pulumi refresh --stack {engine.stack}`, which asks about each pending operation",
            details=tuple(imported.stderr.splitlines()),
        )
    return recovered


def repaired(state: State, cluster: Cluster, deleting: AbstractSet[str] = frozenset()) -> Repair:
    """Return the state without pending operations and deleted resources, and what was done with each of them."""
    state = copy.deepcopy(state)
    deployment = state["deployment"]
    pending = deployment.pop("pending_operations", None) or []
    resources: list[State] = deployment.setdefault("resources", [])
    known = {resource["urn"]: resource for resource in resources if not resource.get("delete")}
    deleting = deleting | {operation["resource"]["urn"] for operation in pending if operation["type"] == "deleting"}
    deleted = _drop_deleted(resources, deleting, cluster)
    recorded, dropped, repeated = [], [], []
    for operation in pending:
        resource, kind = operation["resource"], operation["type"]
        name = _name(resource)
        if resource["urn"] in deleting and kind == "deleting":
            continue
        if resource["urn"] in known:
            _write_again(known[resource["urn"]], cluster)
            repeated.append(name)
        elif kind == "creating" and _was_created(resource, cluster):
            resources.append(resource)
            recorded.append(name)
        elif kind == "creating":
            dropped.append(name)
    return state, Recovered(*(tuple(dict.fromkeys(names)) for names in (recorded, dropped, repeated, deleted)))


def _drop_deleted(resources: list[State], deleting: AbstractSet[str], cluster: Cluster) -> list[str]:
    """Wait for the deletions to finish and remove the resources that no longer exist; return their names.

    A Helm release is more than one object: the next `up` writes it again, and the next `destroy` deletes it again.
    """
    deadline = time.monotonic() + DELETION_SECONDS
    gone = []
    for resource in [resource for resource in resources if resource["urn"] in deleting]:
        if resource["type"] == RELEASE or resource["type"].endswith("Patch"):
            resource["initErrors"] = [INTERRUPTED]
        elif resource["type"].startswith(KUBERNETES) and _deletion_ended(resource, cluster, deadline):
            resources.remove(resource)
            gone.append(_name(resource))
    _drop_dependencies(resources, {resource["urn"] for resource in resources})
    return gone


def _drop_dependencies(resources: list[State], urns: AbstractSet[str]) -> None:
    """Keep only dependencies on `urns`: the engine rejects a state with a dependency on a missing resource."""
    for resource in resources:
        if "dependencies" in resource:
            resource["dependencies"] = [urn for urn in resource["dependencies"] or [] if urn in urns]
        for key, on in (resource.get("propertyDependencies") or {}).items():
            resource["propertyDependencies"][key] = [urn for urn in on or [] if urn in urns]


def _deletion_ended(resource: State, cluster: Cluster, deadline: float) -> bool:
    """Whether the resource's object no longer exists, waiting until `deadline` if it is being deleted."""
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
    """Mark the resource as failed to start, so that the next run updates it even if its inputs do not change."""
    resource["initErrors"] = [INTERRUPTED]
    if resource["type"] == RELEASE:
        inputs = plain(resource.get("inputs") or {})
        cluster.release_is_deployed(inputs.get("namespace") or "default", inputs.get("name", ""))


def _was_created(resource: State, cluster: Cluster) -> bool:
    """Whether the resource's object exists; if so, `resource` gets the id and outputs that the provider returns."""
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
    """The provider's field manager (server-side apply), which later updates must use again."""
    from rollout.decision import PULUMI

    managers = [entry.get("manager", "") for entry in (live.get("metadata") or {}).get("managedFields") or []]
    return next((name for name in managers if name.startswith(PULUMI)), PULUMI)


def plain(value: Any) -> Any:
    """Return a value of a state exported with `--show-secrets`, with secrets as plain values."""
    if isinstance(value, Mapping):
        if SECRET_SIGNATURE in value and "plaintext" in value:
            return json.loads(value["plaintext"])
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return value
