"""The small types of a stack's settings: versions, durations, quantities, images, hosts."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from stacks.settings.hosting import OFFICIAL_CHARTS, OFFICIAL_HUB
from stacks.settings.problems import nearest
from traffic.fields import wrong

VERSION = r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?"
QUANTITY = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?"
RESOURCE = r"cpu|memory|ephemeral-storage|hugepages-[0-9A-Za-z]+|[a-z0-9.-]+/[A-Za-z0-9._-]+"
PERCENTAGE = r"(100|[0-9]{1,2})%"
IMAGE = (
    r"([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?/)?"
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
HUB = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
OLDEST_ISTIO = (1, 22)
USER_OF_ISTIO = 1337
CAPABILITIES = (
    "ALL", "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN",
    "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE",
    "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE",
    "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
)  # fmt: skip
SCALE: dict[str, int | Decimal] = {
    "": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip


def istio_version(value: str) -> str:
    """Return `value` if it is a release of Istio whose resources are served as networking.istio.io/v1."""
    allowed = "a full release number such as 1.31.0 (Istio 1.22 or newer)"
    if not re.fullmatch(VERSION, value):
        raise wrong(f"{value!r} is not a release of Istio", allowed, "write all three numbers, such as 1.31.0")
    if tuple(int(part) for part in value.split(".")[:2]) < OLDEST_ISTIO:
        raise wrong(f"Istio {value} does not serve networking.istio.io/v1", allowed, "choose a newer release")
    return value


def image(value: str) -> str:
    """Return `value` if it is an image reference as container runtimes read it."""
    if re.fullmatch(IMAGE, value) and len(value) <= 512:
        return value
    raise wrong(
        f"{value!r} is not an image reference",
        "[registry[:port]/]name[:tag][@sha256:digest], with the name in lower case and no spaces",
        "write it as for `docker pull`, such as hashicorp/http-echo:1.0.0",
    )


def quantity(value: Any) -> Any:
    """Return a Kubernetes quantity as text; plain numbers in YAML are quantities too (`cpu: 1`)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and re.fullmatch(QUANTITY, value):
        return value
    raise wrong(
        "this is not a Kubernetes quantity",
        "a number of 0 or more, with an optional unit: 500m or 0.5 (CPU), 64Mi or 1G (bytes)",
        "write 100m for a tenth of a CPU, 64Mi for 64 mebibytes",
    )


def amount(text: str) -> Decimal:
    """Return the value of a quantity: CPUs, or bytes."""
    match = re.fullmatch(r"([0-9.]+)([a-zA-Z]*|[eE][+-]?[0-9]+)", text)
    if match is None:
        return Decimal(text)
    number, unit = match.groups()
    return Decimal(number) * SCALE[unit] if unit in SCALE else Decimal(text)


def resource_name(value: str) -> str:
    """Return `value` if it names a resource that a container can request."""
    if re.fullmatch(RESOURCE, value):
        return value
    raise wrong(
        f"{value!r} is not a container resource",
        "cpu, memory, ephemeral-storage, hugepages-<size>, or <domain>/<name> such as nvidia.com/gpu",
        "write cpu or memory",
    )


def count_or_percentage(value: Any) -> Any:
    """Return `value` if it is a number of pods or a percentage of them, as Kubernetes' IntOrString."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(PERCENTAGE, value):
        return value
    raise wrong(
        "this is neither a number of pods nor a percentage of them",
        "a whole number of 0 or more, or a percentage in quotes from '0%' to '100%'",
        "write 1, or '25%'",
    )


def chart_source(value: str) -> str:
    """Return `value` if it is a chart repository's URL or a folder, that with ~ and $VARS expanded."""
    if re.fullmatch(r"(https?|oci)://[^\s/]+(/\S*)?", value):
        return value
    expanded = file_path(value)
    if expanded.startswith(("/", "./", "../")):
        return expanded
    raise wrong(
        f"{value!r} is neither a chart repository nor a folder",
        "a URL that begins with https://, http:// or oci://, or a folder that begins with /, ./, ../ or ~",
        f"write {OFFICIAL_CHARTS} for Istio's own repository",
    )


def hub(value: str) -> str:
    """Return `value` if it is what stands before `/pilot:1.31.4` in an image reference."""
    if re.fullmatch(HUB, value):
        return value
    bare = re.sub(r"^[a-z]+://", "", value).rstrip("/")
    raise wrong(
        f"{value!r} is not a hub",
        "registry[:port][/path], with no scheme, no tag and no / at the end",
        f"write {bare if re.fullmatch(HUB, bare) else OFFICIAL_HUB}",
    )


def user_id(value: int) -> int:
    """Return `value` if it is not the user or group of Istio's proxy (Istio: Application Requirements)."""
    if value != USER_OF_ISTIO:
        return value
    raise wrong(
        f"{value} is the user and group of Istio's proxy, whose traffic bypasses the mesh",
        f"any number except {USER_OF_ISTIO}",
        f"use another number, such as {USER_OF_ISTIO + 1}",
    )


def capability(value: str) -> str:
    """Return `value` if it is a Linux capability in Kubernetes' spelling, or ALL."""
    if value in CAPABILITIES:
        return value
    near = nearest(value.upper().removeprefix("CAP_"), CAPABILITIES)
    raise wrong(
        f"{value!r} is not a capability in Kubernetes' spelling{f'; the nearest is {near}' if near else ''}",
        "ALL, or a Linux capability in upper case without CAP_, such as NET_BIND_SERVICE (man 7 capabilities)",
        f"write {near}" if near else "remove it",
    )


def file_path(value: str) -> str:
    """Return the path with ~ and $VARS expanded."""
    return os.path.expanduser(os.path.expandvars(value))


def absolute_path(value: str) -> str:
    """Return `value` if it is an absolute path inside a container."""
    if re.fullmatch(r"/[^\s:]+", value) and ".." not in value.split("/"):
        return value
    raise wrong(
        f"{value!r} is not an absolute path",
        "a path that begins with / and has no '..', ':' or spaces",
        "write /config, for example",
    )


def http_path(value: str) -> str:
    """Return `value` if it is the path of an HTTP request."""
    if re.fullmatch(r"/\S*", value):
        return value
    raise wrong(f"{value!r} is not a path", "a path that begins with /", "write /health, for example")


def file_name(value: str) -> str:
    """Return `value` if it can be a key of a ConfigMap, and so a file name."""
    if re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", value) and value not in (".", ".."):
        return value
    raise wrong(
        f"{value!r} cannot be a file name in a ConfigMap",
        "1 to 253 characters of a-z, A-Z, 0-9, '-', '_' and '.'",
        "write application.properties, for example",
    )


def variable_name(value: str) -> str:
    """Return `value` if it can name an environment variable."""
    if re.fullmatch(r"[-._a-zA-Z][-._a-zA-Z0-9]*", value):
        return value
    raise wrong(
        f"{value!r} cannot name an environment variable",
        "letters, digits, '_', '-' and '.', not beginning with a digit",
        "write LOG_LEVEL, for example",
    )


NUMBER = {"type": "number", "minimum": 0}
COUNT = {"type": "integer", "minimum": 0}


def _text(pattern: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$", **more})


IstioVersion = Annotated[str, AfterValidator(istio_version), _text(VERSION)]
Image = Annotated[str, AfterValidator(image), _text(IMAGE, maxLength=512)]
QUANTITY_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^({QUANTITY})$"}, NUMBER]})
Quantity = Annotated[str, BeforeValidator(quantity), QUANTITY_SCHEMA]
ResourceName = Annotated[str, AfterValidator(resource_name), _text(RESOURCE)]
CountOrPercentage = Annotated[
    int | str,
    BeforeValidator(count_or_percentage),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": f"^{PERCENTAGE}$"}]}),
]
UserId = Annotated[int, Field(ge=0, le=2**31 - 1), AfterValidator(user_id)]
Capability = Annotated[str, AfterValidator(capability), WithJsonSchema({"type": "string", "enum": list(CAPABILITIES)})]
ChartSource = Annotated[str, AfterValidator(chart_source), _text(r"(https?|oci)://.+|(/|\./|\.\./|~|\$).*")]
Hub = Annotated[str, AfterValidator(hub), _text(HUB)]
FilePath = Annotated[str, AfterValidator(file_path), WithJsonSchema({"type": "string", "minLength": 1})]
MountPath = Annotated[str, AfterValidator(absolute_path), _text(r"/[^\s:]+")]
HttpPath = Annotated[str, AfterValidator(http_path), _text(r"/\S*")]
FileName = Annotated[str, AfterValidator(file_name), _text(r"[-._a-zA-Z0-9]{1,253}")]
VariableName = Annotated[str, AfterValidator(variable_name), _text(r"[-._a-zA-Z][-._a-zA-Z0-9]*")]
