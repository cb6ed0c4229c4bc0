"""What the load generator's results say of each request: its target, its version, and whose failure it is."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from tests.e2e.load import VERSION_HEADER, Load, count


def result(number: int = 0, code: int = 200, body: str = "", version: str | None = "v1", **keys: Any) -> str:
    """One line of `vegeta encode --to=json`."""
    return json.dumps(
        {
            "attack": "",
            "seq": number,
            "code": code,
            "timestamp": f"2026-01-05T10:00:0{number}Z",
            "latency": 2_500_000,
            "bytes_out": 0,
            "bytes_in": len(body),
            "error": "" if code == 200 else f"{code}",
            "body": base64.b64encode(body.encode()).decode(),
            "method": "GET",
            "url": "http://10.0.0.1:80/",
            "headers": None if version is None else {VERSION_HEADER: [version]},
            **keys,
        }
    )


def counted(*lines: str) -> Load:
    found = Load()
    count(lines, found)
    return found


def test_answers_are_in_the_order_in_which_they_were_sent() -> None:
    load = counted(result(2), result(0), result(1, 503))
    assert [answer.status for answer in load.answers] == [200, 503, 200]
    assert (load.requests, load.seconds, load.rate) == (3, 2.0, 1.5)
    assert load.versions == {"v1": 3}
    assert len(load.failures) == len(load.failed) == 1


def test_an_answer_comes_its_latency_after_it_was_sent() -> None:
    (answer,) = counted(result()).answers
    assert answer.answered - answer.sent == timedelta(microseconds=2500)


@pytest.mark.parametrize(
    ("keys", "target", "version", "said_by"),
    [
        ({}, "", "v1", None),
        ({"url": "http://10.0.0.1:80/?called=shop"}, "shop", "v1", None),
        ({"body": '{"version": "v2", "status": 503}', "code": 503}, "", "v1", "v2"),
        ({"body": "no healthy upstream", "code": 503, "version": "v2"}, "", "v2", None),
        ({"body": "", "code": 0, "version": None}, "", None, None),
        ({"body": '["v2"]'}, "", "v1", None),
        ({"body": '{"error": "v2"}'}, "", "v1", None),
    ],
)
def test_only_what_a_pod_answered_itself_is_said_by_a_version(
    keys: dict[str, Any], target: str, version: str | None, said_by: str | None
) -> None:
    (answer,) = counted(result(**keys)).answers
    assert (answer.target, answer.version, answer.said_by) == (target, version, said_by)
    assert answer.ok is (keys.get("code", 200) == 200)


def test_a_load_without_requests_has_no_rate() -> None:
    assert (Load().requests, Load().rate, counted().seconds) == (0, 0.0, 0.0)
