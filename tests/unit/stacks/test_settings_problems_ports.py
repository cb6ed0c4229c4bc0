"""Ports and protocols of a service: what is wrong with them, and routes that speak of gRPC at a plain port."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from stacks.settings.loading import load_stack
from tests.unit.problems import (
    HERE,
    HOSTS,
    ONE,
    ROUTE,
    SHOP,
    TWO,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    doing,
    matching,
    service,
    warnings_of,
)

PORTS = f"{SHOP}.ports"
OF_V1 = f"{SHOP}.versions.v1.ports"


def ports(*lines: str) -> str:
    """A service with these further ports."""
    listed = "".join(f"  - {line}\n" for line in lines)
    return service(f"{HOSTS}ports:\n{listed}{ONE}")


CASES = [
    Case("an unknown protocol", service(f"{HOSTS}{ONE}protocol: GRPCS {HERE}\n"), f"{SHOP}.protocol",
         ("the nearest is GRPC", "one of HTTP, HTTP2, GRPC, TCP, TLS", "write GRPC")),
    Case("a name that tells no protocol", ports(f"{{name: metrics, port: 9090}} {HERE}"), f"{PORTS}[0]",
         ("tells no protocol", "http-metrics", "add protocol: HTTP")),
    Case("a name that contradicts the protocol", ports(f"{{name: grpc-api, port: 9090, protocol: HTTP}} {HERE}"),
         f"{PORTS}[0]", ("says GRPC to Istio, and protocol says HTTP", "write name: http-api")),
    Case("a name that is too long for a container port", ports(f"{{name: http-prometheus-metrics, port: 9}} {HERE}"),
         f"{PORTS}[0].name", ("1 to 15 characters", "write http-prometheus")),
    Case("the name of the main port", ports(f"{{name: http, port: 9090}} {HERE}"), f"{PORTS}[0].name",
         ("the name of the service's main port, 80", "write http-9090")),
    Case("the number of the main port", ports(f"{{name: http-metrics, port: 80}} {HERE}"), f"{PORTS}[0].port",
         ("80 is already the port of the Service", "which defaults to 80")),
    Case("the number of another port", ports("{name: http-a, port: 90}", f"{{name: http-b, port: 90}} {HERE}"),
         f"{PORTS}[1].port", (f"90 is already the port of the Service at {PORTS}[0]",)),
    Case("a name twice", ports("{name: http-a, port: 90}", f"{{name: http-a, port: 90}} {HERE}"),
         f"{PORTS}[1].name", ("'http-a' is given twice",)),
    Case("the container's main port", ports(f"{{name: http-a, port: 90, targetPort: 8080}} {HERE}"),
         f"{PORTS}[0].targetPort", ("8080 is already the main container port of v1",)),
    Case("another port in a version",
         service(f"{HOSTS}ports: [{{name: http-a, port: 90}}]\n"
                 f"versions: {{v1: {{image: a, port: 80, ports: [{{name: http-a, port: 91}}]}}}} {HERE}\n"),
         f"{OF_V1}[0].port",
         (f"port of http-a is 91 here, but 90 at {PORTS}[0]", "write port: 90, and targetPort: 91")),
    Case("an Istio port", ports(f"{{name: http-a, port: 90, targetPort: 15090}} {HERE}"), f"{PORTS}[0].targetPort",
         ("used by Istio's proxy",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_in_the_ports_is_reported(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_in_the_ports_is_reported_once(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


RULE = f"{ROUTE}[0]"
TLS = "mtls: {mode: PERMISSIVE}\ntrafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}\n"
METHOD = "route:\n  - match: [{uri: {prefix: /cart.v1.Cart/}}]\n    to: v2\n  - to: v1\n"
OF_GRPC = [
    Case("the path of a method", matching("{uri: {prefix: /cart.v1.Cart/}}"), f"{RULE}.match[0].uri",
         ("the path /cart.v1.Cart/ is of gRPC, but the port of shop is HTTP", f"write {SHOP}.protocol: GRPC")),
    Case("a path as an expression", matching("{uri: {regex: '/cart\\.v1\\.Cart/(Add|Get)'}}"), f"{RULE}.match[0].uri",
         ("is of gRPC",)),
    Case("the content type", matching("{headers: {content-type: {prefix: application/grpc}}}"),
         f"{RULE}.match[0].headers.content-type", ("the header content-type application/grpc is of gRPC",)),
    Case("a header of gRPC", matching("{headers: {grpc-timeout: {present: true}}}"),
         f"{RULE}.match[0].headers.grpc-timeout", ("the header grpc-timeout is of gRPC",)),
    Case("a status of gRPC", doing("fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 1}}}"),
         f"{RULE}.fault.abort.grpcStatus", ("grpcStatus: UNAVAILABLE is of gRPC",)),
    Case("retries on a status of gRPC", doing('retries: {attempts: 2, retryOn: "5xx,resource-exhausted"}'),
         f"{RULE}.retries.retryOn", ("retryOn: resource-exhausted is of gRPC",)),
    Case("pods that terminate TLS", service(f"{HOSTS}{TWO}protocol: GRPC\n{TLS}{METHOD}"),
         f"{RULE}.match[0].uri", ("because they terminate TLS", "connectionPool.http: {useClientProtocol: true}")),
]  # fmt: skip


def warned(text: str, folder: Path) -> list[str]:
    """The warnings about gRPC, as text, each with its path."""
    return [f"{warning.path}: {warning}" for warning in warnings_of(folder, text) if "of gRPC" in str(warning)]


@pytest.mark.parametrize("case", OF_GRPC, ids=lambda case: case.name)
def test_what_speaks_of_grpc_at_a_plain_port_is_a_warning(case: Case, tmp_path: Path) -> None:
    (warning,) = warned(case.text, tmp_path)

    assert warning.startswith(f"{case.path}: ")
    for words in case.words:
        assert words in warning


NOT_PLAIN = {
    "protocol: GRPC": "protocol: GRPC",
    "protocol: HTTP2": "protocol: HTTP2",
    "useClientProtocol": "trafficPolicy: {connectionPool: {http: {useClientProtocol: true}}}",
    "h2UpgradePolicy": "trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}",
}


@pytest.mark.parametrize("line", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_there_is_no_warning_where_envoy_speaks_http_2(line: str, tmp_path: Path) -> None:
    text = service(f"{HOSTS}{TWO}{line}\n{METHOD}")

    assert warned(text, tmp_path) == []


PLAIN = {
    "a path with a dot": matching("{uri: {prefix: /v1.2/items}}"),
    "a file": matching("{uri: {exact: /index.html}}"),
    "Istio's own conditions": doing(
        'retries: {attempts: 2, retryOn: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"}'
    ),
    "an HTTP status": doing("fault: {abort: {httpStatus: 503, percentage: {value: 1}}}"),
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN)
def test_plain_http_is_no_warning(text: str, tmp_path: Path) -> None:
    assert warned(text, tmp_path) == []


def test_a_route_to_another_service_names_that_service(tmp_path: Path) -> None:
    text = (
        service(f"{HOSTS}{ONE}route:\n  - match: [{{uri: {{prefix: /cart.v1.Cart/}}}}]\n    to: cart/v1\n  - to: v1\n")
        + "    cart: {gateways: [mesh], versions: {v1: {image: cart, port: 50051}}}\n"
    )

    (warning,) = warned(text, tmp_path)

    assert "the port of cart is HTTP" in warning


def test_a_probe_by_http_of_a_port_of_grpc_is_a_warning(tmp_path: Path) -> None:
    text = service(
        f"{HOSTS}protocol: GRPC\n"
        "versions: {v1: {image: a, port: 50051, readinessProbe: {httpGet: {port: 50051}}, "
        "livenessProbe: {httpGet: {port: 8081}}}}\n"
    )

    (warning,) = warnings_of(tmp_path, text)

    assert warning.path == f"{SHOP}.versions.v1.readinessProbe.httpGet"
    assert "write grpc: {port: 50051}" in str(warning)


def test_mutual_tls_may_be_set_for_a_further_port(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(
        service(f"{HOSTS}{ONE}ports: [{{name: http-metrics, port: 90, targetPort: 9090}}]\n"
                "mtls: {portLevelMtls: {9090: DISABLE}}\n")
    )  # fmt: skip

    assert load_stack(file).settings.services["shop"].mtls is not None


API = "ports: [{name: grpc-api, port: 9090}, {name: http-web, port: 9091}]\ngateways: [shop-gateway, mesh]\n"
AT_PORT = "- {match: [{port: %s, uri: {prefix: /cart.v1.Cart/}}], to: v2%s}\n- to: v1\n"


def at_port(port: int, more: str = "") -> str:
    """A service with further ports of gRPC and HTTP, and a rule about gRPC for one port."""
    return service(f"{HOSTS}{API}{TWO}route:\n{textwrap.indent(AT_PORT % (port, more), '  ')}")


@pytest.mark.parametrize("more", ["", ", retries: {attempts: 2, retryOn: resource-exhausted}"])
def test_a_rule_for_a_further_port_of_grpc_is_no_warning(more: str, tmp_path: Path) -> None:
    assert warned(at_port(9090, more), tmp_path) == []


def test_a_rule_about_grpc_for_a_further_port_of_http_names_that_port(tmp_path: Path) -> None:
    (warning,) = warned(at_port(9091), tmp_path)

    assert "port 9091 of shop is HTTP" in warning
    assert "rename http-web to grpc-9091" in warning


def test_a_rule_about_grpc_for_the_main_port_may_be_meant_for_another(tmp_path: Path) -> None:
    (warning,) = warned(at_port(80), tmp_path)

    assert "the port of shop is HTTP" in warning
    assert "add port: 9090 to the match" in warning


@pytest.mark.parametrize(
    ("name", "protocol"),
    [("https-admin", "TLS"), ("https", "TLS"), ("mysql", "TCP"), ("mongo-a", "TCP"), ("redis-cache", "TCP"),
     ("http-a", "HTTP"), ("http2", "HTTP2"), ("grpc-web", "GRPC")],
)  # fmt: skip
def test_a_port_has_the_protocol_that_istio_reads_from_its_name(name: str, protocol: str, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(ports(f"{{name: {name}, port: 9443}}"))
    (port,) = load_stack(tmp_path / "Pulumi.dev.yaml").settings.services["shop"].ports

    assert port.speaks == protocol
