"""What a request can contain where it enters: for each header, parameter, path and method, one value of each class.

Two values are of one class if the same conditions hold for both. So requests made of these values show everything that
the conditions can tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations, product

from traffic.candidates import METHODS
from traffic.diff.branches import Branch, Check
from traffic.diff.texts import OTHER, other_case, samples, texts
from traffic.model import MeshTraffic, StringMatch
from traffic.simulate import Caller, Condition, Kind, Request, text_matches
from traffic.simulate.request import METHODS as ALL_METHODS
from traffic.simulate.request import Seen
from traffic.simulate.tokens import with_claim

ESCAPE = "%[0-9A-Fa-f]{2}"
SENDABLE_PATH = re.compile(rf"/([A-Za-z0-9._~!$&'()*+,;=:@/-]|{ESCAPE})*(\?([\x21\x24\x26-\x7e]|{ESCAPE})*)?")
DOTS = re.compile(r"/\.{1,2}(/|$)")
"""What clients and proxies resolve in a path."""
MOST_PATHS = 3
"""Paths of each class that are tried where a rule changes them."""
MOST_COOKIES = 3
"""Cookies that are combined in one request."""


class Where(StrEnum):
    """The parts of a request's content."""

    HEADER = "header"
    PARAM = "parameter"
    PATH = "path"
    METHOD = "method"
    CLAIM = "claim"


Part = tuple[Where, str]
"""A part of a request: where it is, and the header's or parameter's name."""
Content = tuple[str, ...]
"""The value of a part: none if it is absent, several if a header is repeated."""
COOKIE: Part = (Where.HEADER, "cookie")
PATH: Part = (Where.PATH, "")
METHOD: Part = (Where.METHOD, "")


@dataclass(frozen=True)
class Class:
    """A class of values of one part: the one that stands for it, its cost to a reader, and the checks that hold.

    Each check that holds is with the number of the mesh in which it does.
    """

    content: Content
    cost: int
    holding: frozenset[tuple[Condition, int]]


def part_of(condition: Condition) -> Part:
    """Return the part of a request that a condition is about; raises KeyError if it is about the place."""
    if condition.kind is Kind.COOKIES:
        return COOKIE
    where = {
        Kind.HEADERS: Where.HEADER,
        Kind.WITHOUT_HEADERS: Where.HEADER,
        Kind.QUERY_PARAMS: Where.PARAM,
        Kind.URI: Where.PATH,
        Kind.METHOD: Where.METHOD,
        Kind.CLAIMS: Where.CLAIM,
    }[condition.kind]
    return where, condition.name


def can_be_sent(request: Request) -> bool:
    """Return whether clients such as curl send the request as it is, empty headers and UTF-8 included."""
    return (
        SENDABLE_PATH.fullmatch(request.path) is not None
        and DOTS.search(request.path.partition("?")[0]) is None
        and all(value.isprintable() and value == value.strip() for _, value in request.pairs)
    )


def request_with(at: Request, contents: Mapping[Part, Content]) -> Request:
    """Return a request at the place of `at` with these contents; parts that are not named stay as there."""
    headers = [(name, one) for (where, name), value in contents.items() if where is Where.HEADER for one in value]
    params = [f"{name}={value[0]}" for (where, name), value in contents.items() if where is Where.PARAM and value]
    path = contents.get(PATH, (at.path,))[0]
    claims = dict(at.claims or {})
    for (where, name), value in contents.items():
        if where is Where.CLAIM and value:
            claims = with_claim(claims, name, value)
    return replace(
        at,
        claims=claims or None,
        headers=(*at.pairs, *headers),
        path=f"{path}?{'&'.join(params)}" if params else path,
        method=contents.get(METHOD, (at.method,))[0],
    )


Known = dict[Hashable, list[Class]]
"""The classes that were found for other places."""


def classes(
    at: Request, seen: Seen, branches: Iterable[Branch], known: Known, meshes: Sequence[MeshTraffic]
) -> dict[Part, list[Class]]:
    """Return the classes of each part that the branches look at, the simplest first.

    `at` is a request at the place, and `seen` how the routes see it there. `meshes` are that before the change and, if
    it differs, that after it.
    """
    checks: dict[Part, dict[Condition, Check]] = {}
    rewriting = False
    for branch in branches:
        rule = branch.rule
        rewriting = rewriting or bool(rule and (rule.rewrite or rule.redirect))
        for check in (*branch.checks, *_observers(branch)):
            checks.setdefault(part_of(check.condition), {})[check.condition] = check
    if rewriting:
        checks.setdefault(PATH, {})
    beside = seen.gateway, seen.caller
    found: dict[Part, list[Class]] = {}
    for part, wanted in checks.items():
        each = MOST_PATHS if rewriting and part == PATH else 1
        # Headers that Envoy sets itself depend on how the request comes.
        key = (part, frozenset(wanted), each, seen.inside, seen.scheme, at.pairs)
        if key not in known:
            known[key] = _classes(at, beside, part, tuple(wanted.values()), each, meshes)
        found[part] = known[key]
    return found


def _observers(branch: Branch) -> Iterator[Check]:
    """What makes a difference after the branch is chosen: whether the path has what a rewrite replaces."""
    rewrite = branch.rule and branch.rule.rewrite and branch.rule.rewrite.uri_regex_rewrite
    if rewrite:
        anywhere = StringMatch.model_construct(regex=f".*({rewrite.match}).*")
        bare = StringMatch.model_construct(regex=rewrite.match)
        holds = lambda seen: text_matches(anywhere, seen.path)  # noqa: E731 - as conditions are written
        yield Check(Condition(Kind.URI, "", anywhere, holds=holds), (bare,))


def _classes(
    at: Request,
    beside: tuple[str | None, Caller | None],
    part: Part,
    checks: Sequence[Check],
    each: int,
    meshes: Sequence[MeshTraffic],
) -> list[Class]:
    """`beside` are the Gateway and the caller; `each` is the number of values that are kept of a class."""
    found: dict[frozenset[tuple[Condition, int]], list[Class]] = {}
    gateway, caller = beside
    for content in _contents(part, checks, meshes):
        request = request_with(at, {part: content})
        if not can_be_sent(request):
            continue
        got = [request.seen_in(mesh) for mesh in meshes]
        here = [one if one.inside else replace(one, gateway=gateway, caller=caller) for one in got if one is not None]
        if len(here) < len(meshes):
            continue
        holding = frozenset(
            (check.condition, side) for check in checks for side, one in enumerate(here) if check.condition.holds(one)
        )
        alike = found.setdefault(holding, [])
        if len(alike) < each:
            alike.append(Class(content, _cost(part, content), holding))
    return sorted((one for alike in found.values() for one in alike), key=lambda one: one.cost)


def _cost(part: Part, content: Content) -> int:
    """How much there is to read: nothing for what is absent, /, and GET."""
    if content in ((), ("/",), ("GET",)):
        return 0
    odd = sum(20 for value in content if not value) + 40 * (len(content) - 1)
    return 10 + odd + sum(map(len, content)) + (0 if part != PATH else -2)


def _contents(part: Part, checks: Sequence[Check], meshes: Sequence[MeshTraffic]) -> Iterator[Content]:
    seeds = [seed for check in checks for seed in check.seeds]
    if part == METHOD:
        prefixed = [one for seed in seeds for one in sorted(ALL_METHODS) if text_matches(seed, one)]
        yield from ((one,) for one in (*METHODS, *prefixed))
    elif part == PATH:
        paths = list(_paths(seeds, checks))
        yield from ((one,) for one in paths)
        if len({mesh.path_normalization for mesh in meshes}) > 1:
            yield from ((other,) for one in paths for other in _spelled(one))
    elif part == COOKIE:
        yield from _cookies(checks)
    else:
        yield ()
        values = [*texts(seeds), ""]
        yield from ((value,) for value in values)
        if part[0] in (Where.HEADER, Where.CLAIM) and len(checks) > 1:
            yield from _repeated(values)


def _repeated(values: Sequence[str]) -> Iterator[Content]:
    """A header that is given twice, or three times, meets what no single value does."""
    few = values[:16]
    yield from combinations(few, 2)
    yield from combinations(few[:8], 3)


def _paths(seeds: Sequence[StringMatch], checks: Sequence[Check]) -> Iterator[str]:
    yield "/"
    found = texts(seeds, "/")
    yield from found
    yield from (f"/{one}" for seed in seeds if seed.regex for one in samples(seed))
    yield from (f"/{OTHER}/{one.lstrip('/')}" for seed in seeds if seed.regex for one in samples(seed))
    yield from (f"{one}/{more}" for one in found[:20] for more in (OTHER, f"{OTHER}/x"))
    if any(check.condition.ignore_case for check in checks):
        yield from other_case(found)


def _spelled(path: str) -> Iterator[str]:
    """Yield other spellings of the path, which one mesh normalises to it and another does not."""
    for at in (index for index, letter in enumerate(path) if letter == "/"):
        yield f"{path[:at]}//{path[at + 1 :]}"
        if at:
            yield f"{path[:at]}%2F{path[at + 1 :]}"
    if len(path) > 1 and path[1].isascii() and path[1].isalnum():
        yield f"/%{ord(path[1]):02X}{path[2:]}"


def _cookies(checks: Sequence[Check]) -> Iterator[Content]:
    """Values of the whole header: each cookie's by name, and combined, and those of conditions on the header."""
    by_name: dict[str, list[StringMatch]] = {}
    whole: list[StringMatch] = []
    for check in checks:
        if check.condition.kind is Kind.COOKIES:
            by_name.setdefault(check.condition.name, []).extend(check.seeds)
        else:
            whole.extend(check.seeds)
    pairs = {name: [f"{name}={value}" for value in (*texts(wants), "")] for name, wants in by_name.items()}
    yield ()
    single = [pair for options in pairs.values() for pair in options]
    headers = texts(whole) if whole else []
    yield from ((value,) for value in (*single, *headers))
    for count in range(2, min(MOST_COOKIES, len(pairs)) + 1):
        for names in combinations(pairs, count):
            yield from (("; ".join(chosen),) for chosen in product(*(pairs[name][:6] for name in names)))
    if whole:
        yield ("",)
        yield from ((f"{header}; {pair}",) for header in headers[:8] for pair in single[:8])
    if len(checks) > 1:
        yield from _repeated([*single, *headers])
