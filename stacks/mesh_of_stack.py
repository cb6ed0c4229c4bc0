"""What a stack that installs a mesh says about it in its output `mesh`, and how another stack learns of it.

A program reads the output before anything is registered, as it reads a cluster's kubeconfig (`stacks.cluster_source`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from stacks.cluster_source import no_stack, outputs_of
from stacks.mesh_traffic import traffic_of
from stacks.settings.mesh_reference import REFERENCE
from stacks.settings.model import Settings
from stacks.settings.problems import NAMESPACE, Location, Problem, SettingsError, key_path, shown
from stacks.settings.revisions import RevisionSettings

OUTPUT = "mesh"
PATH = key_path((OUTPUT, REFERENCE))

cluster_of_mesh: ContextVar[str | None] = ContextVar("cluster_of_mesh", default=None)
"""The uid of the cluster that the other stack's mesh is in, if it is known."""


def described(settings: Settings) -> dict[str, Any]:
    """Return what callers of a mesh need to know of it, with the names of a stack's file."""
    mesh, traffic = settings.mesh, traffic_of(settings.mesh)
    retries = traffic.default_retries
    known = {
        "namespace": mesh.namespace,
        "mtls": mesh.mtls.value,
        "denyByDefault": mesh.deny_by_default,
        "outboundTrafficPolicy": traffic.outbound_traffic_policy.value,
        "pathNormalization": traffic.path_normalization.value,
        "retries": retries.model_dump(mode="json", exclude_none=True) if retries else None,
        "gateway": {
            "namespace": mesh.gateway.namespace,
            "name": mesh.gateway.name,
            "ports": sorted(mesh.gateway.ports),
            "numTrustedProxies": traffic.num_trusted_proxies,
        },
        "revision": mesh.usual_revision,
        "revisions": {name: one.version for name, one in mesh.all_revisions.items()},
        "tags": dict(mesh.tags),
        "prometheus": settings.telemetry.prometheus_url,
    }
    return {key: value for key, value in known.items() if value is not None}


def with_deployed_mesh(settings: Settings, file: str, has_file: bool, own: Mapping[str, Any]) -> Settings:
    """Return the settings with the revisions and tags that the mesh of another stack has now.

    `file` is the stack's file, and `own` what it says of its mesh; with `has_file`, that of the other stack is beside
    it, and says the rest. Raises SettingsError if there is
    no such stack, it has no mesh, or its mesh is another one than the settings say.
    """
    named = settings.mesh.stack_reference
    if named is None:
        return settings
    try:
        outputs = outputs_of(named)
    except Exception as error:  # noqa: BLE001 - the SDK raises Exception itself, with the engine's words
        raise SettingsError([_no_stack(named, file, str(error))], file) from None
    deployed = outputs.get(OUTPUT)
    if not isinstance(deployed, Mapping):
        raise SettingsError([_no_mesh(named, file, sorted(outputs))], file)
    uid = outputs.get("cluster")
    cluster_of_mesh.set(uid if isinstance(uid, str) and uid else None)
    is_own = "revision" in own or (settings.mesh.revision is not None and not has_file)
    found = _with_revisions(settings, deployed, is_own)
    problems = [*_differences(found, deployed, named, file, has_file), *_unknown_revisions(found, named, file)]
    if problems:
        raise SettingsError(problems, file)
    return found


def require_cluster_of_mesh(settings: Settings, uid: str, file: str) -> None:
    """Raise SettingsError if the mesh of another stack is in another cluster than that with this uid."""
    known = cluster_of_mesh.get()
    if settings.mesh.stack_reference is None or known in (None, uid):
        return
    problem = Problem(
        path=PATH,
        what="its mesh is in another cluster than the one that this stack's settings lead to",
        given=f"{settings.mesh.stack_reference}, in the cluster whose namespace kube-system has the uid {known}",
        allowed=f"the stack of a mesh in the cluster with the uid {uid}",
        fix=f"correct {key_path(('cluster',))} of one of the two stacks, or name the stack of this cluster's mesh",
        file=file,
    )
    raise SettingsError([problem], file)


def _with_revisions(settings: Settings, deployed: Mapping[str, Any], is_own: bool) -> Settings:
    """With what the other stack may change at any time: no change of this stack's file must follow."""
    mesh = settings.mesh
    revisions = {str(name): RevisionSettings(version=version) for name, version in deployed["revisions"].items()}
    given = {"revisions": revisions, "tags": dict(deployed["tags"])}
    if not is_own:
        given["revision"] = deployed["revision"]
    return settings.model_copy(update={OUTPUT: mesh.model_copy(update=given)})


def _differences(
    settings: Settings, deployed: Mapping[str, Any], named: str, file: str, has_file: bool
) -> Iterator[Problem]:
    own = described(settings)
    stack = named.rpartition("/")[2]
    for place in COMPARED:
        here, there = _at(own, place), _at(deployed, place)
        if here == there:
            continue
        path = key_path((OUTPUT, *place))
        given = "nothing" if there is None else shown(there)
        yield Problem(
            path=path,
            what=f"the mesh of the stack {named} is another one: it was deployed with {place[-1]}: {given}",
            given=shown(here),
            allowed=f"what the stack {named} has deployed",
            fix=f"run `canary up --stack {stack}`, which deploys what Pulumi.{stack}.yaml says now; or correct {path}"
            if has_file
            else f"remove {path}"
            if there is None
            else f"write {path}: {given}",
            file=file,
        )


COMPARED: tuple[Location, ...] = (
    *(
        (key,)
        for key in ("namespace", "mtls", "denyByDefault", "outboundTrafficPolicy", "pathNormalization", "retries")
    ),
    *(("gateway", key) for key in ("namespace", "name", "ports", "numTrustedProxies")),
)
"""What decides about requests. Revisions and tags are taken over, and a stack may have a Prometheus of its own."""


def _unknown_revisions(settings: Settings, named: str, file: str) -> Iterator[Problem]:
    mesh = settings.mesh
    known = {*mesh.all_revisions, *mesh.tags}
    asked: dict[Location, str] = {
        ("namespaces", name, "revision"): one.revision for name, one in settings.namespaces.items() if one.revision
    }
    if mesh.revision is not None:
        asked[(OUTPUT, "revision")] = mesh.revision
    for place, revision in asked.items():
        if revision not in known:
            yield Problem(
                path=key_path(place),
                what=f"the mesh of the stack {named} has no such revision or tag",
                given=revision,
                allowed=", ".join(sorted(known)),
                fix=f"write one of these, or add it to {NAMESPACE}:mesh.revisions of that stack and run "
                f"`canary up --stack {named.rpartition('/')[2]}`",
                file=file,
            )


def _at(values: Mapping[str, Any], place: Location) -> Any:
    found: Any = values
    for part in place:
        found = found.get(str(part)) if isinstance(found, Mapping) else None
    return _whole(found)


def _whole(value: Any) -> Any:
    """The engine has every number as one with a decimal point."""
    if isinstance(value, (list, tuple)):
        return [_whole(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _whole(one) for key, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _no_stack(named: str, file: str, said: str) -> Problem:
    """As for a cluster, with the key and the output of the mesh."""
    from dataclasses import replace

    problem = no_stack(named, file, said)
    fix = problem.fix.replace("create its cluster first", "create its mesh first")
    fix = fix.replace("output kubeconfig --show-secrets", f"output {OUTPUT}")
    return replace(problem, path=PATH, fix=fix)


def _no_mesh(named: str, file: str, outputs: list[str]) -> Problem:
    return Problem(
        path=PATH,
        what=f"the stack {named} has no mesh: it has no output `{OUTPUT}`",
        given=f"{named}, with the outputs {', '.join(outputs) or 'none'}",
        allowed="a stack of this project that installs the mesh",
        fix=f"finish its run: `canary up --stack {named.rpartition('/')[2]}`; or name the stack that installs the mesh",
        file=file,
    )
