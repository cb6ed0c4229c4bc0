"""The API server gives the same verdict on Istio objects as the check without a cluster.

Each case of tests/crd_cases.py is sent as a server-side dry run with strict field validation, which creates nothing.
The API server validates an object before it asks istiod's webhook, and that refuses more: what only the webhook denies
is valid for the CRD.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from kube.crd_schemas import problems_of
from kube.objects import plural_of
from tests.crd_cases import Case, all_cases
from tests.e2e.tools import Project

KINDS = sorted({case.kind for case in all_cases()})
AT_ONCE = 8
CREATED = 201
REFUSED = {400: "strict decoding error: ", 422: " is invalid: "}
"""How the API server answers to unknown fields, and to what the schema or a rule refuses."""
DENIED = re.compile(r'admission webhook "[^"]+\.istio\.io" denied the request')


@pytest.fixture(scope="module")
def api(mesh: Project) -> Iterator[httpx.Client]:
    """A client of the API server that a proxy authenticates."""
    proxy = subprocess.Popen(
        mesh.cluster.command("proxy", "--port=0"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert proxy.stdout is not None
        address = re.search(r"127\.0\.0\.1:\d+", line := proxy.stdout.readline())
        assert address, f"kubectl proxy: {line}"
        with httpx.Client(base_url=f"http://{address[0]}", timeout=30, trust_env=False) as client:
            yield client
    finally:
        proxy.terminate()
        proxy.wait(10)


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_the_api_server_gives_the_same_verdict(api: httpx.Client, kind: tuple[str, str]) -> None:
    cases = [case for case in all_cases() if case.kind == kind]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda case: dry_run(api, case), cases))
    differ = {}
    for case, answer in zip(cases, answers, strict=True):
        problems = problems_of(case.manifest)
        if {is_valid(answer), case.is_valid, not problems} != {case.is_valid}:
            differ[case.id] = {"API server": answer.json().get("message", "created"), "here": problems}
    assert differ == {}


def dry_run(api: httpx.Client, case: Case) -> httpx.Response:
    """The API server's answer to the creation of the object, which it does not store."""
    api_version, kind = case.kind
    return api.post(
        f"/apis/{api_version}/namespaces/default/{plural_of(kind)}",
        params={"dryRun": "All", "fieldValidation": "Strict"},
        json=case.manifest,
    )


def is_valid(answer: httpx.Response) -> bool:
    """Whether the object has passed the schema and the rules of its CRD."""
    message = answer.json().get("message", "")
    if answer.status_code == CREATED or DENIED.search(message):
        return True
    assert REFUSED.get(answer.status_code, "nothing else") in message, f"{answer.status_code}: {message}"
    return False
