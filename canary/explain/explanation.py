"""Turns the arguments of `canary explain` into a request to the simulator."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.explain.connection_words import connection_of
from canary.explain.upstream_words import GRPC_HEADERS
from canary.service_named import service_named

if TYPE_CHECKING:
    from stacks.settings.model import Settings
    from stacks.settings.stack_file import StackFile
    from traffic.simulate import Caller, Entry, Request

HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
ANY_HOST = "any-host.example"
"""The host of a request to a service that accepts any host."""


@dataclass(frozen=True)
class Question:
    """A request to `service`, as given on the command line.

    `source` is the calling workload, None for a caller outside the mesh; `host` and `port` default to the service's,
    `method` to GET. A service of gRPC is asked as gRPC asks: by POST, with its headers. A header `host` is sent as it
    is; otherwise the port is part of the Host header where clients send it. `client_ip` and `claims` are the address of
    a caller at the gateway, and the claims of its token as name=value.
    """

    service: str
    path: str = "/"
    method: str | None = None
    headers: tuple[str, ...] = ()
    source: str | None = None
    host: str | None = None
    port: int | None = None
    https: bool = False
    client_ip: str | None = None
    claims: tuple[str, ...] = ()


def settings_of(stack: str | None) -> tuple[str, Settings, StackFile]:
    """Return the stack's name, its settings and their file; raises CommandError with all problems of the file."""
    from canary.engine.session import chosen_stack

    _, name, loaded = chosen_stack(stack)
    assert loaded.source is not None  # it was read from the stack's file
    return name, loaded.settings, loaded.source


def request_of(settings: Settings, question: Question) -> Request:
    """Return the request to simulate; raises CommandError for an unknown service or caller, or an invalid header."""
    from canary.explain.client import FROM_INSIDE, address, claims
    from traffic.model import ServiceProtocol
    from traffic.simulate import Request, authority_of

    service_named(settings, question.service)
    if not settings.services[question.service].protocol.is_http:
        caller = caller_of(settings, question.source) if question.source is not None else None
        return connection_of(settings, question, caller)
    pairs = tuple(map(_header, question.headers))
    service = settings.services[question.service]
    at_main_port = question.source is None or question.port in (None, service.port)
    by_grpc = service.protocol is ServiceProtocol.GRPC and question.method is None and at_main_port
    if by_grpc:
        given_names = {name.lower() for name, _ in pairs}
        pairs += tuple((name, value) for name, value in GRPC_HEADERS if name not in given_names)
    sent = next((value for name, value in pairs if name.lower() == "host"), None)
    if not question.path.startswith("/"):
        raise CommandError(
            f"{question.path!r} is not a path",
            ExitCode.CONFIG,
            fix=_of_url(question.path) or f"start it with /: {shlex.quote(f'/{question.path}')}",
        )
    given = Request(
        headers=tuple((name, value) for name, value in pairs if name.lower() != "host"),
        path=question.path,
        method=(question.method or ("POST" if by_grpc else "GET")).upper(),
        authority=question.host or sent or "",
        scheme="https" if question.https else "http",
        port=question.port,
        client=address(question.client_ip),
        claims=claims(question.claims),
    )
    if question.source is not None and (given.client or given.claims):
        raise CommandError("--client-ip and --claim are for callers at the gateway", ExitCode.CONFIG, fix=FROM_INSIDE)
    if question.source is not None:
        request = _from_inside(settings, question.service, given, caller_of(settings, question.source))
    else:
        request = _from_outside(settings, question.service, given)
    if sent and not question.host:
        return request
    return replace(request, authority=authority_of(request.authority, request.scheme, request.asked_port))


def _of_url(text: str) -> str | None:
    """The arguments for a URL that was given as path; None if it is not a URL."""
    if not re.match(r"https?://[^/?#]", text, re.IGNORECASE):
        return None
    scheme, _, rest = text.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = f"/{rest[len(host) :].removeprefix('/').partition('#')[0]}"
    options = [*(["--https"] if scheme.lower() == "https" else []), "--host", host, path]
    return f"give the parts of the URL: {shlex.join(options)}"


def caller_of(settings: Settings, workload: str) -> Caller:
    """Return the caller for `<service>/<version>` or `<service>` of the stack, or `<namespace>/<name>` outside it."""
    from traffic.simulate import Caller

    first, slash, second = workload.partition("/")
    service = settings.services.get(first)
    if not first or (slash and not second) or "/" in second or (service is None and not slash):
        raise CommandError(
            f"the stack has no workload {workload!r}",
            ExitCode.CONFIG,
            fix=f"{_meant(first, settings.services)}write <service>/<version> or <service> of the stack "
            f"({_listed(settings.services)}), or <namespace>/<name> for a workload outside it",
        )
    if service is None:
        return Caller(first, {"app": second})
    if second and second not in service.versions:
        raise CommandError(
            f"{first} has no version {second!r}",
            ExitCode.CONFIG,
            fix=f"{_meant(second, service.versions)}its versions are: {_listed(service.versions)}",
        )
    version = second or (next(iter(service.versions)) if len(service.versions) == 1 else "")
    labels = service.pod_labels(first, version) if version else {"app": first}
    if labels is None:
        raise CommandError(
            f"{first}/{version} has no pods of its own that could call",
            ExitCode.CONFIG,
            fix=f"name a version that has pods, of: {_listed(service.versions)}",
        )
    return Caller(service.namespace, labels)


def caller_note(settings: Settings, workload: str | None) -> str | None:
    """Return the note for a caller outside the stack whose name is almost that of a service; None if it is not."""
    from stacks.settings.problems import nearest

    first, slash, second = (workload or "").partition("/")
    known = {*settings.services, *(service.namespace for service in settings.services.values())}
    near = nearest(first, settings.services) if slash and first not in known else None
    if near is None:
        return None
    version = second if second in settings.services[near].versions else ""
    meant = f"{near}/{version}" if version else near
    return f"the stack has no service {first}, so {first} is a namespace here; did you mean --from {meant}?"


def _from_inside(settings: Settings, name: str, given: Request, caller: Caller) -> Request:
    service = settings.services[name]
    port = given.port or _port_in(given.authority) or service.port
    return replace(given, authority=given.authority or f"{name}.{service.namespace}", port=port, caller=caller)


def _from_outside(settings: Settings, name: str, given: Request) -> Request:
    """The request at the first entry of the service that fits the given host, port and scheme."""
    from traffic.simulate import entries

    known = list(entries(name, settings.services[name], settings.gateways))
    if not known:
        raise CommandError(
            f"{name} is not bound to a gateway: its route applies only to callers inside the mesh",
            ExitCode.CONFIG,
            fix=f"name the caller: canary explain {name} --from <service>/<version>",
        )
    fitting = [entry for entry in known if _fits(entry, given)]
    # A port in the host may be that of a node or of a forwarded port, which the gateway does not see.
    named = _port_in(given.authority)
    chosen = min(fitting or known, key=lambda entry: (entry.server.port != named, entry.server.redirects))
    scheme = chosen.scheme if fitting else given.scheme
    host = ANY_HOST if chosen.domain == "*" else chosen.domain.replace("*", "any", 1)
    port = chosen.server.port if fitting else given.port
    deployment = chosen.deployment
    return replace(given, authority=given.authority or host, scheme=scheme, port=port, deployment=deployment)


def _port_in(authority: str) -> int | None:
    """The port that a Host header names."""
    found = re.search(r":([0-9]{1,5})$", authority)
    return int(found[1]) if found else None


def _fits(entry: Entry, given: Request) -> bool:
    from traffic.simulate import bare, intersection

    return (
        given.port in (None, entry.server.port)
        and (given.scheme == "http" or entry.scheme == "https")
        and (not given.authority or bool(intersection([bare(given.authority)], [entry.domain])))
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if colon and HEADER_NAME.fullmatch(name) and value.isprintable():
        return name, value.strip()
    raise CommandError(
        f"{text!r} is not a header", ExitCode.CONFIG, fix="write it as -H 'name: value', for example -H 'qa: test'"
    )


def _meant(name: str, known: Iterable[str]) -> str:
    from stacks.settings.problems import nearest

    near = nearest(name, known)
    return f"did you mean {near}? " if near else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
