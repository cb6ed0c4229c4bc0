"""How the kubelet probes a version's container (Kubernetes: "Configure Liveness, Readiness and Startup Probes")."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from stacks.settings.fields import HttpPath
from stacks.settings.strategy import Seconds
from traffic.fields import Model, Port, Text, wrong

Positive = Annotated[int, Field(ge=1, le=3600)]
HANDLERS = {"exec_": "exec", "grpc": "grpc", "http_get": "httpGet", "tcp_socket": "tcpSocket"}
"""The ways to probe, by field."""


class HttpGet(Model):
    """A probe's HTTP request (Kubernetes' HTTPGetAction)."""

    path: HttpPath = Field(default="/", description="Path of the request.")
    port: Port = Field(examples=[8080], description="Container port.")
    scheme: Literal["HTTP", "HTTPS"] = Field(
        default="HTTP", description="HTTPS: over TLS, with a certificate that is not verified."
    )


class TcpSocket(Model):
    """A probe's TCP connection."""

    port: Port = Field(examples=[8080], description="Container port.")


class Grpc(Model):
    """A probe's call of gRPC's health checking protocol (grpc.health.v1.Health/Check)."""

    port: Port = Field(examples=[8080], description="Container port.")
    service: Text | None = Field(default=None, description="Name of the service that is asked about; default: none.")


class Exec(Model):
    """A probe's command, run in the container without a shell."""

    command: Annotated[tuple[str, ...], Field(min_length=1), Strict(False)] = Field(
        examples=[["/bin/health"]], description="Command and arguments; exit code 0 is a success."
    )


class Probe(Model):
    """How the kubelet probes a container (Kubernetes' Probe): by a command, gRPC, HTTP or TCP."""

    exec_: Exec | None = Field(default=None, alias="exec", description="Command that must exit with 0.")
    grpc: Grpc | None = Field(default=None, description="Call of gRPC's health check that must answer SERVING.")
    http_get: HttpGet | None = Field(default=None, description="HTTP request that must get a status from 200 to 399.")
    tcp_socket: TcpSocket | None = Field(default=None, description="TCP connection that must be accepted.")
    initial_delay_seconds: Seconds = Field(default=0, description="Seconds before the first probe.")
    period_seconds: Positive = Field(default=10, description="Seconds between probes.")
    timeout_seconds: Positive = Field(default=1, description="Seconds after which a probe times out.")
    success_threshold: Positive = Field(default=1, description="Consecutive successes to count as successful.")
    failure_threshold: Positive = Field(default=3, description="Consecutive failures to count as failed.")

    @model_validator(mode="after")
    def _one_way(self) -> Probe:
        given = [name for field, name in HANDLERS.items() if getattr(self, field) is not None]
        if len(given) != 1:
            raise wrong(
                f"{' and '.join(given)} are {'both' if len(given) == 2 else 'all'} set"
                if given
                else "the probe has no handler",
                "exactly one of exec, grpc, httpGet and tcpSocket",
                "write httpGet: {path: /health, port: 8080} or tcpSocket: {port: 8080}, for example",
            )
        return self


def _one_success(kind: str) -> AfterValidator:
    def check(probe: Probe) -> Probe:
        if probe.success_threshold != 1:
            raise wrong(
                f"a {kind} probe cannot require {probe.success_threshold} successes",
                f"successThreshold 1, which Kubernetes requires for {kind} probes",
                "remove successThreshold",
            )
        return probe

    return AfterValidator(check)


LivenessProbe = Annotated[Probe, _one_success("liveness")]
StartupProbe = Annotated[Probe, _one_success("startup")]


def accepts_connections(data: dict[str, Any]) -> Probe:
    """Return the default readiness probe: the version's port accepts connections, which works for every server."""
    return Probe(tcp_socket=TcpSocket(port=data["port"]), period_seconds=2)
