"""`canary verify` against a server that answers like a gateway: verdicts, output and exit codes."""

from __future__ import annotations

import asyncio
import datetime
import json
import random
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from canary.app import app
from canary.exit_codes import ExitCode
from canary.gateway import host_of
from canary.verify.measure import RequestBatch, as_curl, measure
from canary.verify.split import ALPHA
from canary.verify.verification import MOST, addressed, counted, plan
from stacks.settings.loading import load_stack
from traffic.simulate import Request

STACK = """config:
  istio-canary:versionHeader: x-served-version
  istio-canary:services:
    website:
      hosts: ["shop.example"]
      versions:
        version-1: {image: "echo:1", port: 5678}
        version-2: {image: "echo:1", port: 5678}
      route:
        - match: [{headers: {qa: {exact: canary-test}}}]
          to: version-2
        - to: {version-1: 90, version-2: 10}
"""
Answer = Callable[[Mapping[str, str]], tuple[int, str]]
RNG = random.Random(7)  # noqa: S311 - a fixed seed: the same draw every time


def split(percent: int, header: str = "version-2") -> Answer:
    """Answer like a gateway that sends `percent` to version-2, and requests with the testers' header to `header`."""

    def answer(headers: Mapping[str, str]) -> tuple[int, str]:
        if headers.get("host") != "shop.example":
            return 404, ""
        if headers.get("qa") == "canary-test":
            return 200, header
        return 200, "version-2" if RNG.randrange(100) < percent else "version-1"

    return answer


async def _ended(connections: set[asyncio.Task[None]]) -> None:
    await asyncio.gather(*connections, return_exceptions=True)


@contextmanager
def gateway(
    answer: Answer, seen: list[dict[str, str]] | None = None, delay: float = 0.0, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve HTTP on a free port: each request is answered by `answer`, `delay` seconds later."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line) | {"path": head[0].split()[1]}
                if seen is not None:
                    seen.append(headers)
                await asyncio.sleep(delay)
                status, version = answer(headers)
                named = f"x-served-version: {version}\r\n" if version else ""
                line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
                writer.write(f"{line}{named}content-length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        connections = asyncio.all_tasks(loop)
        for connection in connections:
            connection.cancel()
        loop.run_until_complete(_ended(connections))
        loop.close()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    # httpcore tries to import sniffio for every lock, and Python looks for a missing module on the disk each time.
    monkeypatch.setitem(sys.modules, "sniffio", None)


def verify(url: str, *options: str) -> Any:
    """Run the command over a few connections: the time of a request grows with their number."""
    command = ("verify", "--stack", "dev", "--gateway", url, "--concurrency", "4")
    return CliRunner().invoke(app, [*command, *options])


def test_a_split_as_configured_passes() -> None:
    with gateway(split(10)) as url:
        result = verify(url, "--count", "300")
    assert result.exit_code == ExitCode.OK, result.output
    for word in ("qa = canary-test", "default", "90 %", "10 %", "2 rules: all pass", "significance 0.001"):
        assert word in result.stdout, f"the output must contain {word!r}"


def test_only_the_rules_of_the_services_that_are_named_are_measured() -> None:
    both = yaml.safe_load(STACK)
    services = both["config"]["istio-canary:services"]
    services["api"] = {**services["website"], "hosts": ["api.example"]}
    Path("Pulumi.dev.yaml").write_text(yaml.safe_dump(both), encoding="utf-8")
    seen: list[dict[str, str]] = []
    with gateway(split(10), seen) as url:
        result = verify(url, "website", "website", "--count", "300", "--json")
        unknown = verify(url, "websit")

    assert result.exit_code == ExitCode.OK, result.output
    assert [rule["service"] for rule in json.loads(result.stdout)["rules"]] == ["website", "website"]
    assert {request["host"] for request in seen} == {"shop.example"}
    assert unknown.exit_code == ExitCode.CONFIG
    assert "did you mean website? its services are: api, website" in unknown.stderr


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (split(40), "fail"),
        (split(10, header="version-1"), "fail"),
        (lambda headers: (503, ""), "errors"),
        (lambda headers: (200, ""), "errors"),
    ],
)
def test_any_other_split_ends_with_exit_code_3(answer: Answer, verdict: str) -> None:
    with gateway(answer) as url:
        result = verify(url, "--count", "300", "--json")
    assert result.exit_code == ExitCode.SPLIT
    document = json.loads(result.stdout)
    assert not document["passes"]
    assert verdict in {rule["verdict"] for rule in document["rules"]}


def test_the_summary_counts_the_rules_that_fail() -> None:
    with gateway(split(10, header="version-1")) as url:
        result = verify(url, "--count", "300")
    assert "1 of 2 rules fails" in result.stdout


def test_errors_are_listed_by_kind() -> None:
    def half(headers: Mapping[str, str]) -> tuple[int, str]:
        return RNG.choice([(200, "version-1"), (503, "")])

    with gateway(half) as url:
        result = verify(url, "--count", "100")
    assert result.exit_code == ExitCode.SPLIT
    assert "x HTTP 503 Service Unavailable" in result.stdout, "how many, and what"


def test_requests_carry_the_services_host_and_no_headers_of_the_client() -> None:
    seen: list[dict[str, str]] = []
    with gateway(split(10), seen) as url:
        verify(url, "--count", "20")
    assert {headers["host"] for headers in seen} == {"shop.example"}
    assert {name for headers in seen for name in headers} <= {"host", "qa", "connection", "path"}, (
        "a user-agent could match a rule other than the measured one"
    )


def test_the_default_count_depends_on_the_kind_of_rule(tmp_path: Path) -> None:
    settings = load_stack(tmp_path / "Pulumi.dev.yaml").settings
    planned = addressed(list(plan(settings, count=None, seed=0)), lambda scheme, port, _: f"{scheme}://gateway:{port}")
    assert [entry.batch.count for entry in planned if entry.batch] == [100, 2000]
    assert {entry.batch.url for entry in planned if entry.batch} == {"http://gateway:80"}, "the service's gatewayPort"


def with_share(percent: float) -> None:
    text = STACK.replace("{version-1: 90, version-2: 10}", f"{{version-1: {100 - percent}, version-2: {percent}}}")
    Path("Pulumi.dev.yaml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("percent", "count"), [(10, 2000), (2, 2230), (0.5, 9102), (0.1, 45588), (0.02, MOST), (0.01, None)]
)
def test_the_default_count_grows_as_a_share_gets_smaller(percent: float, count: int | None, tmp_path: Path) -> None:
    with_share(percent)
    settings = load_stack(tmp_path / "Pulumi.dev.yaml").settings
    (_, shared) = counted(list(plan(settings, count=None, seed=0)), None, ALPHA)
    found = shared.batch.count if shared.batch else None
    assert found == (None if count is None else pytest.approx(count, rel=0.02))


def test_too_few_requests_for_a_small_share_do_not_pass_and_the_number_and_command_are_named() -> None:
    with_share(0.5)
    with gateway(split(0)) as url:
        result = verify(url, "--count", "200")
        document = json.loads(verify(url, "--count", "200", "--json").stdout)

    assert result.exit_code == ExitCode.SPLIT, "without any answer of version-2 it cannot pass"
    assert [rule["verdict"] for rule in document["rules"]] == ["pass", "not enough"]
    assert document["rules"][1]["requests_needed"] == 1517
    assert (
        "website, rule 2: with fewer than 1517 requests, version-2 at 0.5 % would pass without any answer; to measure "
        "it: canary verify website --count 1517 --stack dev" in result.stdout
    )


def test_a_share_that_takes_too_many_requests_is_not_measured_and_the_command_is_named() -> None:
    with_share(0.01)
    seen: list[dict[str, str]] = []
    with gateway(split(0), seen) as url:
        result = verify(url)

    assert result.exit_code == ExitCode.SPLIT
    assert len(seen) == 100, "only the other rule is measured"
    for words in ("so small a share takes 76006 requests", "canary verify website --count 76006 --stack dev"):
        assert words in result.stdout


def test_a_small_share_that_is_missing_fails() -> None:
    with_share(0.5)
    with gateway(split(0)) as url:
        result = verify(url, "website", "--count", "1600")

    assert result.exit_code == ExitCode.SPLIT
    for words in ("99.5 %", "0.0000 %", "fail"):
        assert words in result.stdout, "with as many decimals as so small a share takes"


def test_a_gateway_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        result = verify(f"http://127.0.0.1:{free.getsockname()[1]}", "--count", "5")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "does not answer" in result.stderr


@pytest.mark.parametrize("given", ["ftp://x", "://x", "http://", "http://x:port", "http://[::1"])
def test_a_gateway_that_is_no_url_of_http_is_a_usage_error(given: str) -> None:
    result = verify(given)
    assert result.exit_code == ExitCode.CONFIG
    for words in (f"given:   {given}", "allowed: the schemes http and https", "fix: write it as http://<host>:<port>"):
        assert words in result.stderr


def test_a_measurement_cut_short_by_the_time_limit_does_not_pass() -> None:
    with gateway(split(10), delay=0.05) as url:
        result = verify(url, "--timeout", "3", "--count", "1000", "--json")
    assert result.exit_code == ExitCode.SPLIT, "a rule that was not measured in full does not pass"
    assert any(rule["unsent"] for rule in json.loads(result.stdout)["rules"])


def test_addresses_in_urls() -> None:
    assert host_of("10.0.0.1") == "10.0.0.1"
    assert host_of("fd00::1") == "[fd00::1]", "IPv6 addresses are in brackets"


@pytest.mark.parametrize(
    ("request_", "command"),
    [
        (Request(), "curl http://10.0.0.1:80/"),
        (Request(headers={"qa": "canary-test"}), "curl --header 'qa: canary-test' http://10.0.0.1:80/"),
        (
            Request(path="/a b", method="POST", authority="shop.example"),
            "curl --request POST --header 'host: shop.example' 'http://10.0.0.1:80/a b'",
        ),
        (
            Request(path="/?a=b", authority="shop.example", scheme="https"),
            "curl --insecure --connect-to ::10.0.0.1:80 'https://shop.example/?a=b'",
        ),
    ],
)
def test_each_request_can_be_sent_by_hand(request_: Request, command: str) -> None:
    assert as_curl(RequestBatch("http://10.0.0.1:80", request_, 1)) == command


ANSWERS = """config:
  istio-canary:versionHeader: x-served-version
  istio-canary:services:
    website:
      hosts: ["shop.example"]
      gateways: [website-gateway, mesh]
      versions:
        version-1: {image: "echo:1", port: 5678}
        version-2: {image: "echo:1", port: 5678}
      route:
        - {match: [{uri: {prefix: /old}}], redirect: {uri: /new, redirectCode: 308}}
        - {match: [{uri: {prefix: /gone}}], directResponse: {status: 410}}
        - {match: [{uri: {prefix: /tea}}], directResponse: {status: 200, body: tea}}
        - {match: [{uri: {prefix: /half}}], to: version-1, fault: {abort: {httpStatus: 503, percentage: {value: 50}}}}
        - {match: [{uri: {prefix: /slow}}], to: version-1, fault: {delay: {fixedDelay: 5s}}}
        - {match: [{uri: {prefix: /same}}], to: version-1, fault: {abort: {httpStatus: 200}}}
        - {match: [{sourceLabels: {app: cart}}], to: version-2}
        - {to: {version-1: 100, version-2: 0}}
"""


def as_configured(head: Mapping[str, str]) -> tuple[int, str]:
    """Answer like a gateway configured with ANSWERS."""
    path = head["path"]
    if path.startswith("/half"):
        # Envoy adds the rule's response headers to an injected fault, too.
        return RNG.choice([(200, "version-1"), (503, "version-1")])
    fixed = {"/old": (308, ""), "/gone": (410, ""), "/tea": (200, "")}
    return next((answer for prefix, answer in fixed.items() if path.startswith(prefix)), (200, "version-1"))


def verified(tmp_path: Path, answer: Answer) -> dict[int, Any]:
    """The result for each rule of ANSWERS."""
    (tmp_path / "Pulumi.dev.yaml").write_text(ANSWERS, encoding="utf-8")
    with gateway(answer) as url:
        result = verify(url, "--count", "60", "--json")
    assert result.exit_code == ExitCode.SPLIT, "a rule that was not measured does not pass"
    return {rule["rule"]: rule for rule in json.loads(result.stdout)["rules"]}


def test_envoys_own_answers_are_measured_by_status_or_the_reason_is_given(tmp_path: Path) -> None:
    rules = verified(tmp_path, as_configured)
    assert {index: rule["verdict"] for index, rule in rules.items()} == {
        1: "pass", 2: "pass", 3: "pass", 4: "pass",
        5: "not measured", 6: "not measured", 7: "inside the mesh", 8: "pass",
    }  # fmt: skip
    assert [share["version"] for share in rules[4]["versions"]] == ["status 503", "version-1"]
    assert [share["configured_percent"] for share in rules[4]["versions"]] == [50, 50]
    assert rules[5]["reason"] == "the rule delays 100 % of the requests by 5 s"
    assert rules[6]["reason"] == "the rule's fault answers 200, which cannot be told from a version's answer"
    assert "inside the mesh" in rules[7]["reason"]


@pytest.mark.parametrize(
    ("route", "code"),
    [
        ("[{match: [{sourceLabels: {app: cart}}], to: version-2}, {to: version-1}]", ExitCode.OK),
        ("[{match: [{method: {exact: GET}}], to: version-1}, {to: version-2}]", ExitCode.SPLIT),
    ],
    ids=["a rule for callers inside", "a rule that routes to the wrong version"],
)
def test_rules_for_callers_inside_the_mesh_do_not_affect_the_verdict_on_the_others(
    tmp_path: Path, route: str, code: ExitCode
) -> None:
    config = ANSWERS[: ANSWERS.index("      route:")]
    (tmp_path / "Pulumi.dev.yaml").write_text(f"{config}      route: {route}\n", encoding="utf-8")
    with gateway(lambda head: (200, "version-1")) as url:
        result = verify(url, "--count", "60")
    assert result.exit_code == code, result.output
    assert ("1 for callers inside the mesh" in result.output) == (code is ExitCode.OK)


def test_a_version_that_answers_instead_of_envoy_fails(tmp_path: Path) -> None:
    rules = verified(tmp_path, lambda head: (200, "version-2"))
    assert {rules[index]["verdict"] for index in (1, 2, 3, 4, 8)} == {"fail"}


def certificate(folder: Path) -> Path:
    """A self-signed certificate and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "any")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=36500))
    signed = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    file = folder / "cert.pem"
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, plain[1], plain[0]) + signed)
    return file


def test_a_tls_port_is_called_by_https_with_the_services_host_as_sni(tmp_path: Path) -> None:
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    context.sni_callback = lambda connection, name, context: asked.append(name)
    request = Request(path="/a|b", authority="shop.example:443", scheme="https", port=443)
    with gateway(lambda head: (200, head["path"]), tls=context) as url:
        answers = measure([RequestBatch(url, request, 20)], "x-served-version", 2, 10, lambda index: None)
    assert answers[0].versions == {"/a|b": 20}, "the path is sent unchanged"
    assert set(asked) == {"shop.example"}, "the gateway picks certificate and hosts by this name"
