"""What a service goes back to, by its strategy.

| strategy | goes back to | known from |
|---|---|---|
| blueGreen | the idle version | the stack's file |
| recreate, ramped | the image that ran before | the ReplicaSets of the version's Deployment |
| canary | the weights before | the last run of the stack that had others, in Pulumi's history |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.service_named import service_named
from canary.undo.change import Change, Edit, weights_words
from canary.undo.weights import as_given, edits_of, in_order

if TYPE_CHECKING:
    from canary.engine.session import Session
    from canary.undo.recorded import Recorded
    from kube.replica_sets import Revision
    from stacks.settings.model import ServiceSettings, Settings


BY_IMAGE = ("recreate", "ramped")
"""The strategies with which a version goes back to an image."""


def named(stack: Settings, service: str, version: str | None) -> ServiceSettings:
    """Return the service that goes back; raises CommandError if there is no such one, or if it has no such version."""
    from stacks.settings.problems import nearest

    settings = service_named(stack, service)
    if version is not None and settings.strategy.name.value not in BY_IMAGE:
        raise CommandError(
            f"--version has no effect with the strategy {settings.strategy.name.value}: requests move between versions",
            ExitCode.CONFIG,
            fix="leave it out",
        )
    if version is not None and version not in settings.deployed:
        near = nearest(version, settings.deployed)
        meant = f"did you mean {near}? " if near else ""
        fix = f"{meant}choose one of {', '.join(settings.deployed)}"
        raise CommandError(f"{service} has no version {version!r}", ExitCode.CONFIG, fix=fix)
    return settings


def change_of(session: Session, service: str, version: str | None) -> Change:
    """Return the change with which `service` goes back; `version` names the version whose image does.

    Raises CommandError if there is no such service or version, or nothing to go back to.
    """
    settings = named(session.settings, service, version)
    if settings.strategy.name.value in BY_IMAGE:
        return _to_image(session, service, settings, [version] if version else list(settings.deployed))
    if settings.rolled:
        raise CommandError(
            f"the requests of {service} move by a rollout, which its record in the cluster decides about",
            ExitCode.CONFIG,
            fix=f"canary rollout abort {service} --stack {session.stack}, or after its end "
            f"canary rollout undo {service} --stack {session.stack}",
        )
    if settings.strategy.active is not None:
        return _to_idle(session, service, settings, settings.strategy.active)
    return _to_weights(session, service, settings)


def _to_idle(session: Session, service: str, settings: ServiceSettings, active: str) -> Change:
    idle = next(name for name in settings.versions if name != active)
    location = ("services", service, "strategy")
    written = _given(session, service).get("strategy")
    named = isinstance(written, Mapping) and isinstance(written.get("blueGreen"), Mapping)
    edit = Edit((*location, "blueGreen", "active"), idle) if named else Edit(location, {"blueGreen": {"active": idle}})
    return Change(service, settings.strategy.name.value, "active version", active, idle, "", (edit,))


def _to_image(session: Session, service: str, settings: ServiceSettings, versions: list[str]) -> Change:
    found = {
        name: _earlier(revisions, settings.deployed[name].image)
        for name, revisions in _revisions(session, service, settings, versions).items()
    }
    known = {name: revision for name, revision in found.items() if revision is not None}
    if len(known) == 1:
        ((name, revision),) = known.items()
        return Change(
            service,
            settings.strategy.name.value,
            f"image of {name}",
            settings.deployed[name].image,
            revision.image,
            f"revision {revision.number} of its Deployment",
            (Edit(("services", service, "versions", name, "image"), revision.image),),
        )
    if not known:
        raise CommandError(
            f"there is no image to go back to: {_listed(versions)} ran no other one",
            fix=f"write the image in {_file(session)}; Kubernetes keeps the last ten revisions of a Deployment",
        )
    raise CommandError(
        f"{len(known)} versions of {service} ran another image before",
        ExitCode.CONFIG,
        fix=f"choose one: canary undo {service} --version {next(iter(known))} --stack {session.stack}",
        details=tuple(f"{name}: {settings.deployed[name].image} -> {one.image}" for name, one in known.items()),
    )


def _revisions(
    session: Session, service: str, settings: ServiceSettings, versions: list[str]
) -> dict[str, tuple[Revision, ...]]:
    from kube.client import query
    from kube.kubeconfig import ClusterUnreachableError
    from kube.replica_sets import revisions

    def ask(client: Any) -> dict[str, tuple[Revision, ...]]:
        return {name: revisions(client, settings.namespace, settings.deployed[name].name, service) for name in versions}

    try:
        return query(session.settings.cluster, ask)
    except ClusterUnreachableError as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None


def _earlier(revisions: tuple[Revision, ...], image: str) -> Revision | None:
    """The newest revision with another image than the file's: the running one, if that is not deployed yet."""
    return next((revision for revision in revisions if revision.image != image), None)


def _to_weights(session: Session, service: str, settings: ServiceSettings) -> Change:
    from canary.undo.recorded import recorded

    for run in recorded(session):
        before = run.settings.services.get(service)
        changed = _moved(settings, before) if before is not None else ()
        if before is not None and changed:
            return _back(session, service, settings, before, changed, run)
    raise CommandError(
        f"there are no weights to go back to: no run of the stack that Pulumi recorded has the route of {service} with "
        "other weights",
        fix=f"write the weights in {_file(session)}, then run `canary up --stack {session.stack}`",
    )


def _moved(now: ServiceSettings, before: ServiceSettings) -> tuple[int, ...]:
    """The rules whose destinations differ; none if more differs, or if a version is gone."""
    if len(now.route) != len(before.route):
        return ()
    pairs = list(zip(now.route, before.route, strict=True))
    if any(one.model_copy(update={"to": None}) != other.model_copy(update={"to": None}) for one, other in pairs):
        return ()
    changed = tuple(index for index, (one, other) in enumerate(pairs) if one.weights != other.weights)
    named = {name for index in changed for name in before.route[index].weights if "/" not in name}
    return changed if named <= set(now.versions) else ()


def _back(
    session: Session,
    service: str,
    now: ServiceSettings,
    before: ServiceSettings,
    changed: tuple[int, ...],
    run: Recorded,
) -> Change:
    location = ("services", service, "route")
    pairs = {index: (now.route[index], before.route[index]) for index in changed}
    edits = tuple(edit for index, pair in pairs.items() for edit in edits_of((*location, index, "to"), *pair))
    if "route" not in _given(session, service):  # it is the sample's, and lists are replaced as a whole
        route = [
            {**rule, "to": as_given(before.route[index])} if index in changed else rule
            for index, rule in enumerate(_merged_route(session, service))
        ]
        edits = (Edit(location, route),)
    rules = " and ".join(str(index + 1) for index in changed)
    weights = [(now.route[index].weights, before.route[index].weights) for index in changed]
    return Change(
        service,
        now.strategy.name.value,
        f"weights of rule {rules}",
        " and ".join(weights_words(present) for present, _ in weights),
        " and ".join(weights_words(in_order(former, present)) for present, former in weights),
        f"as of the run that ended at {run.ended}",
        edits,
    )


def _given(session: Session, service: str) -> Mapping[str, Any]:
    """What the stack's file has of the service, without its sample."""
    source = session.loaded.source
    services = source.values.get("services") if source else None
    written = services.get(service) if isinstance(services, Mapping) else None
    return written if isinstance(written, Mapping) else {}


def _merged_route(session: Session, service: str) -> list[Any]:
    from stacks.samples import laid_under

    source = session.loaded.source
    merged = laid_under(source.values if source else {})["services"][service]
    return list(merged.get("route") or ())


def _file(session: Session) -> str:
    return session.project.stack_file(session.stack).name


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
