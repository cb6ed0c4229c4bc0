"""Whether a service denies a request, as far as that is known before it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from traffic.model import Authorization
from traffic.simulate import Identity, is_allowed

API = "cluster.local/ns/starter/sa/web-api"
WEB_API = Identity("starter", "web-api")
OTHER = Identity("java", "web-api")
UNKNOWN = Identity("starter", None)


def allow(**rule: Any) -> dict[str, Any]:
    """An authorization that allows requests of one rule."""
    return {"allow": [rule]}


@pytest.mark.parametrize(
    ("authorization", "caller", "method", "expected"),
    [
        (allow(principals=[API]), WEB_API, "GET", True),
        (allow(principals=[API]), OTHER, "GET", False),
        (allow(principals=[API]), UNKNOWN, "GET", None),
        (allow(principals=[API]), Identity("java", None), "GET", False),
        (allow(principals=["*/sa/web-api"]), OTHER, "GET", True),
        (allow(principals=["cluster.local/ns/starter/*"]), OTHER, "GET", False),
        (allow(principals=["*"]), UNKNOWN, "GET", True),
        (allow(principals=["cluster.local/ns/starter/*"]), UNKNOWN, "GET", True),
        (allow(principals=["cluster.local/ns/start*"]), UNKNOWN, "GET", True),
        (allow(principals=["cluster.local/ns/java/*"]), UNKNOWN, "GET", False),
        (allow(principals=["*/ns/java/sa/web-api"]), UNKNOWN, "GET", False),
        (allow(principals=["cluster.local/ns/starter/sa/web*"]), UNKNOWN, "GET", None),
        (allow(principals=["*/sa/web-api"]), UNKNOWN, "GET", None),
        (allow(notPrincipals=[API]), WEB_API, "GET", False),
        (allow(namespaces=["st*r"]), WEB_API, "GET", True),
        (allow(notNamespaces=["starter"]), WEB_API, "GET", False),
        (allow(methods=["GET"]), OTHER, "POST", False),
        (allow(notMethods=["P*"]), OTHER, "POST", False),
        (allow(principals=[API], methods=["POST"]), WEB_API, "GET", False),
        (allow(principals=[API], paths=["/x"]), WEB_API, "GET", None),
        (allow(principals=[API], paths=["/x"]), OTHER, "GET", False),
        ({"allow": []}, WEB_API, "GET", False),
        ({"allow": [{"paths": ["/x"]}, {}]}, WEB_API, "GET", True),
        ({"deny": [{"principals": [API]}]}, WEB_API, "GET", False),
        ({"deny": [{"principals": [API]}]}, OTHER, "GET", True),
        ({"deny": [{"headers": {"qa": ["x"]}}]}, OTHER, "GET", None),
        ({"allow": [{}], "deny": [{"methods": ["GET"]}]}, WEB_API, "GET", False),
        ({"allow": [], "deny": [{"paths": ["/x"]}]}, WEB_API, "GET", False),
    ],
)
def test_a_request_is_allowed_denied_or_undecided(
    authorization: dict[str, Any], caller: Identity, method: str, expected: bool | None
) -> None:
    assert is_allowed(Authorization.model_validate(authorization), False, caller, method) is expected


@pytest.mark.parametrize(
    ("authorization", "closed", "expected"),
    [(None, False, True), (None, True, False), ({"deny": [{"methods": ["PUT"]}]}, True, False), (allow(), True, True)],
)
def test_deny_by_default_denies_what_nothing_allows(
    authorization: dict[str, Any] | None, closed: bool, expected: bool
) -> None:
    given = Authorization.model_validate(authorization) if authorization else None

    assert is_allowed(given, closed, OTHER, "GET") is expected
