"""Checks that requests are answered as docs/routing.md says.

Shares are judged by exact binomial tests at a significance at which a correct share practically never fails, while one
that is off by a few percent does.
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
"""Number of requests to measure shares."""
STEADY = 8
"""How many times in a row an answer must be as expected."""
SLOWER = 2.5
"""Additional seconds that an answer may take on a busy machine."""
DEADLINE = 20


def check(lab: Lab, line: str, placeholders: Mapping[str, str] | None = None) -> None:
    """Send the request of a line of the page, and fail unless the answer is the one given there.

    Policies reach the Envoys at different times, so a wrong answer is retried until a deadline.
    """
    for name, value in (placeholders or {}).items():
        line = line.replace(f"<{name}>", value)
    check_answer(lab, *parse(line), line)


def check_answer(lab: Lab, request: Request, answer: Answer, what: str) -> None:
    """Send a request, and fail with `what` unless the answer is the one given, at the latest after some seconds."""
    deadline = time.monotonic() + DEADLINE
    while wrong := _mismatch(lab, request, answer):
        assert time.monotonic() < deadline, f"{what}\n  {wrong}"


def _mismatch(lab: Lab, request: Request, answer: Answer) -> str | None:
    """How the answer differs from the expected one, if it does."""
    if any(share < 100 for share in (*answer.outcomes.values(), *answer.copies.values())):
        return _mismatch_of_shares(lab, request, answer)
    for _ in range(STEADY if answer.after is None else 1):
        asked = unique(request)
        wrong = _mismatch_of_one(answer, lab.send(asked))
        if wrong:
            return wrong
    return _mismatch_of_mirrors(lab, request, answer, STEADY)


def _mismatch_of_one(answer: Answer, seen: Seen) -> str | None:
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
    return next(filter(None, (_mismatch_of_received(seen, *header) for header in answer.sees)), None)


def _mismatch_of_received(seen: Seen, name: str, value: str | None) -> str | None:
    """How a header that the version received differs: None means absent, "" any value."""
    values = [seen.received["host"]] if name == "host" else seen.received["headers"].get(name, [])
    if (value is None and values) or (value is not None and (not values or (value and value not in values))):
        return f"the version saw {name}: {values}"
    return None


def _mismatch_of_shares(lab: Lab, request: Request, answer: Answer) -> str | None:
    asked = unique(request)
    answers = lab.send_all(asked, MANY)
    counts = Counter(seen.outcome for seen in answers)
    if not counts.keys() <= answer.outcomes.keys():
        return f"answered by {dict(counts)}"
    for outcome, share in answer.outcomes.items():
        if not is_plausible(counts[outcome], counts.total(), share):
            return f"answered by {dict(counts)}"
    for seen in answers:
        for header in [answer.sees_at[seen.outcome]] if seen.outcome in answer.sees_at else ():
            if wrong := _mismatch_of_received(seen, *header):
                return f"{seen.outcome}: {wrong}"
    return _mismatch_of_mirrors(lab, request, answer, MANY)


def _mismatch_of_mirrors(lab: Lab, request: Request, answer: Answer, count: int) -> str | None:
    """Send keyed requests and count those that the versions received; mirrored ones arrive after the answer."""
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
            return is_plausible(len(lab.copies(got, prefix)), count, share)

        if not lab.settled(arrived):
            return f"{version} got {len(lab.copies(deployment, prefix))} of {count}"
    return None


def is_plausible(count: int, total: int, percent: float) -> bool:
    """Whether a count is plausible for a share in percent; at 0 and 100 it must be exact."""
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
