"""Whether what became of requests is what docs/routing.md says.

Shares are judged by exact binomial tests at a significance at which a right share is called wrong never in practice,
and one that is off by a few percent is found out.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from canary.verify.split import p_value
from tests.e2e.routing import Lab, Seen, unique
from tests.routing_doc import Answer, Request, parse

ALPHA = 1e-9
MANY = 1000
"""Requests for shares."""
STEADY = 8
"""How often an answer must be as wanted, one time after the other."""
SLOWER = 2.5
"""Seconds that an answer may take longer than it must, on a machine that is busy."""
DEADLINE = 20


def check(lab: Lab, line: str, placeholders: Mapping[str, str] | None = None) -> None:
    """Send the request of a line of the page, and fail unless that becomes of it which stands there.

    Policies reach each Envoy in its own time, so what is wrong is asked again until a deadline.
    """
    for name, value in (placeholders or {}).items():
        line = line.replace(f"<{name}>", value)
    request, answer = parse(line)
    deadline = time.monotonic() + DEADLINE
    while wrong := _trouble(lab, request, answer):
        assert time.monotonic() < deadline, f"{line}\n  {wrong}"


def _trouble(lab: Lab, request: Request, answer: Answer) -> str | None:
    """What is not as wanted, if anything."""
    if any(share < 100 for share in (*answer.outcomes.values(), *answer.copies.values())):
        return _trouble_with_shares(lab, request, answer)
    for _ in range(STEADY if answer.after is None else 1):
        asked = unique(request)
        wrong = _trouble_with_one(answer, lab.send(asked))
        if wrong:
            return wrong
    return _trouble_with_copies(lab, request, answer, STEADY)


def _trouble_with_one(answer: Answer, seen: Seen) -> str | None:
    (outcome,) = answer.outcomes
    if seen.outcome != outcome:
        return f"answered by {seen.outcome} ({seen.status} {seen.body[:200]!r})"
    if answer.body is not None and seen.body != answer.body:
        return f"the answer is {seen.body[:200]!r}"
    if answer.sees_path is not None and seen.received["uri"] != answer.sees_path:
        return f"the version saw the path {seen.received['uri']}"
    if answer.after is not None and not answer.after <= seen.seconds < answer.after + SLOWER:
        return f"it took {seen.seconds:.3f} s"
    for name, value in answer.headers.items():
        given = seen.headers.get(name)
        if given != value and not (value == "" and given):
            return f"the answer's {name} is {given}"
    for name, value in answer.sees:
        values = [seen.received["host"]] if name == "host" else seen.received["headers"].get(name, [])
        if (value is None and values) or (value is not None and (not values or (value and value not in values))):
            return f"the version saw {name}: {values}"
    return None


def _trouble_with_shares(lab: Lab, request: Request, answer: Answer) -> str | None:
    asked = unique(request)
    counts = Counter(seen.outcome for seen in lab.send_all(asked, MANY))
    if not counts.keys() <= answer.outcomes.keys():
        return f"answered by {dict(counts)}"
    for outcome, share in answer.outcomes.items():
        if not as_wanted(counts[outcome], counts.total(), share):
            return f"answered by {dict(counts)}"
    return _trouble_with_copies(lab, request, answer, MANY)


def _trouble_with_copies(lab: Lab, request: Request, answer: Answer, count: int) -> str | None:
    """Ask anew with keys of one's own, and have the versions tell what they got; copies arrive after the answer."""
    if not answer.copies:
        return None
    keyed = unique(
        Request(request.method, request.url, (*request.headers, ("x-echo-key", "key=copy")), request.caller, False)
    )
    prefix = dict(keyed.headers)["x-echo-key"]
    lab.send_all(keyed, count)
    for version, share in answer.copies.items():
        deployment = version.replace("/", "-") if "/" in version else f"shop-{version}"

        def arrived(got: str = deployment, share: float = share) -> bool:
            return as_wanted(len(lab.copies(got, prefix)), count, share)

        if not lab.settled(arrived):
            return f"{version} got {len(lab.copies(deployment, prefix))} of {count}"
    return None


def as_wanted(count: int, total: int, percent: float) -> bool:
    """Whether a count is what a share in percent may give; without chance at 0 and 100."""
    if percent in (0, 100):
        return count == total * percent / 100
    return p_value(count, total, percent / 100) >= ALPHA


def pods_of(answers: Sequence[Seen]) -> list[str]:
    """The pods that answered, in order; fails unless all answers are 200."""
    assert all(seen.status == 200 for seen in answers), [seen.outcome for seen in answers]
    return [seen.pod for seen in answers]


def cookie_of(seen: Seen) -> str:
    """`name=value` of the cookie that an answer sets."""
    match = re.match(r"[^;]+", seen.headers.get("set-cookie", ""))
    assert match, f"no cookie: {seen.headers}"
    return match[0]
