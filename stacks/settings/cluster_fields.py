"""The small types of a cluster's settings: versions of Kubernetes, networks, names of clouds and of stacks."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from stacks.settings.encrypted import ENCRYPTED, TEXT, Encrypted, kind_of_text
from stacks.settings.fields import file_path
from stacks.settings.kubeconfig_text import PLAIN_TEXT, is_text
from traffic.fields import wrong

MINOR = r"1\.[0-9]{2}"
RELEASE = rf"{MINOR}(\.[0-9]+)?"
OLDEST_MINOR = 31
"""The oldest Kubernetes that Istio 1.31 supports (Istio: "Supported Releases")."""
NETWORK = r"[0-9.]+/[0-9]{1,2}"
GCP_PROJECT = r"[a-z][a-z0-9-]{4,28}[a-z0-9]"
GCP_LOCATION = r"[a-z]+-[a-z]+[0-9]+(-[a-z])?"
AWS_REGION = r"[a-z]{2}(-[a-z]+)+-[0-9]"
AWS_ZONE = rf"{AWS_REGION}[a-z]"
AZURE_LOCATION = r"[a-z]+[0-9]?"
STACK_REFERENCE = r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+"
LABEL = r"[a-z][a-z0-9_-]{0,62}"
LABEL_TEXT = r"[a-z0-9_-]{0,63}"
GIVEN_LABELS = ("pulumi-project", "pulumi-stack")
"""Labels of everything that a stack creates in a cloud."""
SMALLEST_PREFIX = 8
"""Larger networks are most of the internet, under another name than 0.0.0.0/0."""


def kubernetes_version(value: Any) -> Any:
    """Return `value` if it is a release of Kubernetes as text.

    A number is refused: YAML reads 1.40 as 1.4.
    """
    return _release(value, RELEASE, 'a release of Kubernetes in quotes, such as "1.34" or "1.34.1"')


def full_kubernetes_version(value: Any) -> Any:
    """Return `value` if it is a release of Kubernetes with all three numbers, which kindest/node has images of."""
    allowed = 'all three numbers of a release in quotes, as in the tags of kindest/node, such as "1.34.0"'
    return _release(value, rf"{MINOR}\.[0-9]+", allowed)


def minor_kubernetes_version(value: Any) -> Any:
    """Return `value` if it is a release of Kubernetes with two numbers, since EKS chooses the third."""
    return _release(value, MINOR, 'a release of Kubernetes with two numbers, in quotes, such as "1.34"')


def _release(value: Any, form: str, allowed: str) -> Any:
    allowed = f"{allowed}, from 1.{OLDEST_MINOR} on"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        text = f"{value}0" if re.fullmatch(r"1\.[0-9]", str(value)) else str(value)  # 1.40 is read as 1.4
        raise wrong(f"{value} is a number, which loses a 0 at its end", allowed, f'write "{_meant(text, form)}"')
    if not isinstance(value, str) or not re.fullmatch(form, value):
        what = f"{value!r} is not a release of Kubernetes"
        if isinstance(value, str) and re.fullmatch(RELEASE, value):
            what = f"{value!r} has {'two numbers' if value.count('.') == 1 else 'three numbers'}"
        raise wrong(what, allowed, f'write "{_meant(str(value), form)}"')
    if int(value.split(".")[1]) < OLDEST_MINOR:
        newer = _meant(f"1.{OLDEST_MINOR}", form)
        raise wrong(
            f"Kubernetes {value} is older than what Istio supports", allowed, f'write "{newer}", or a newer one'
        )
    return value


def _meant(text: str, form: str) -> str:
    """The release that a text such as v1.34.1-gke.100 means, with as many numbers as `form` has."""
    found = re.match(rf"v?({MINOR})(\.[0-9]+)?(?![0-9])", text)
    minor, patch = (found[1], found[2]) if found and int(found[1][2:]) >= OLDEST_MINOR else ("1.34", None)
    return next(one for one in (f"{minor}{patch or ''}", minor, f"{minor}.0") if re.fullmatch(form, one))


def control_plane_network(value: str) -> str:
    """Return `value` if it is a private network of 16 addresses, as GKE's control plane has."""
    allowed = "a private network with /28, such as 172.16.0.0/28, that nothing else uses"
    try:
        found = ipaddress.IPv4Network(value, strict=False)
    except ValueError:
        raise wrong(f"{value!r} is not a network", allowed, "write 172.16.0.0/28, for example") from None
    meant = f"{found.network_address}/28"
    if not found.is_private:
        raise wrong(f"{value} is of public addresses", allowed, "write 172.16.0.0/28, for example")
    if value != meant:
        raise wrong(f"{value!r} is not a network with 16 addresses", allowed, f"write {meant}, for example")
    return value


def own_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return `labels` if none of them is one that Google Cloud keeps for itself, or that every stack gets."""
    for name in labels:
        if name in GIVEN_LABELS or name.startswith("goog"):
            whose = "is given to everything of a stack" if name in GIVEN_LABELS else "is one of Google Cloud's own"
            allowed = f"other names than {', '.join(GIVEN_LABELS)}, not beginning with goog"
            raise wrong(f"the label {name} {whose}", allowed, f"rename it to own-{name}, for example, or remove it")
    return labels


def gke_name(value: str) -> str:
    """Return `value` if it can name a cluster of GKE."""
    if re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", value):
        return value
    meant = re.sub(r"^[^a-z]+", "", value)[:40].rstrip("-") or "canary"
    allowed = "1 to 40 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-'"
    raise wrong(f"{value!r} cannot be the name of a cluster of GKE", allowed, f"write {meant}, for example")


def kubeconfig_path(value: str) -> str:
    """Return `value`, with ~ and $VARS expanded, if it can be the path of a kubeconfig."""
    allowed = "the path of a file, with ~ and $VARS; without this key, $KUBECONFIG or ~/.kube/config"
    if is_text(value):
        raise wrong(*PLAIN_TEXT)
    if not value.strip():
        raise wrong("the value is empty", allowed, "write ~/.kube/config, for example")
    return file_path(value)


def network(value: str) -> str:
    """Return `value` if it is a network of IP addresses, and not most of the internet."""
    allowed = (
        f"a network such as 198.51.100.0/24, or one address as 198.51.100.7/32, not larger than /{SMALLEST_PREFIX}"
    )
    try:
        found = ipaddress.ip_network(value)
    except ValueError as error:
        try:
            meant = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise wrong(f"{value!r} is not a network: {error}", allowed, "write 198.51.100.7/32, for example") from None
        raise wrong(f"{value!r} has bits of a host in it", allowed, f"write {meant}") from None
    if found.version != 4:
        raise wrong(f"{value} is of IPv6, and the clusters have addresses of IPv4", allowed, "write the IPv4 network")
    if found.prefixlen < SMALLEST_PREFIX:
        raise wrong(
            f"{value} lets in most of the internet",
            allowed,
            "name the networks of those who run `canary`, and of the pipelines",
        )
    if "/" not in value:
        raise wrong(f"{value!r} has no prefix length", allowed, f"write {found}")
    return value


@dataclass(frozen=True)
class Matching:
    """The validator of a text that a pattern describes: what it is, what is allowed, and the fix for any other."""

    pattern: str
    what: str
    allowed: str
    fix: str
    for_space: str = "-"
    """What stands for a space in such a text."""
    may_be_longer: bool = False
    """Whether a text that only begins like this means its beginning, as a zone means its region."""

    def check(self, value: str) -> str:
        """Return `value` if it matches."""
        if re.fullmatch(self.pattern, value):
            return value
        near = [text for text in self._near(value) if re.fullmatch(self.pattern, text)]
        raise wrong(f"{value!r} is not {self.what}", self.allowed, f"write {near[0]}" if near else self.fix)

    def _near(self, value: str) -> list[str]:
        """What was probably meant: the same without spaces or capitals, or without what follows it."""
        plain = re.sub(r"\s+", self.for_space, value.strip().lower())
        start = re.match(self.pattern, plain)
        return [plain, start[0]] if start and self.may_be_longer else [plain]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^({self.pattern})$", "minLength": 1}


KubernetesVersion = Annotated[
    str,
    BeforeValidator(kubernetes_version),
    WithJsonSchema({"type": "string", "pattern": f"^({RELEASE})$"}),
]
FullKubernetesVersion = Annotated[
    str,
    BeforeValidator(full_kubernetes_version),
    WithJsonSchema({"type": "string", "pattern": rf"^({MINOR}\.[0-9]+)$"}),
]
MinorKubernetesVersion = Annotated[
    str,
    BeforeValidator(minor_kubernetes_version),
    WithJsonSchema({"type": "string", "pattern": f"^({MINOR})$"}),
]
Network = Annotated[str, AfterValidator(network), WithJsonSchema({"type": "string", "pattern": f"^({NETWORK})$"})]
Networks = Annotated[tuple[Network, ...], Field(min_length=1, max_length=50, strict=False)]
"""Networks whose callers may ask the API server."""
GcpProject = Annotated[
    str,
    Matching(
        GCP_PROJECT, "the id of a Google Cloud project", "6 to 30 characters of a-z, 0-9 and '-'", "write my-project-1"
    ),
]
GcpLocation = Annotated[
    str,
    Matching(
        GCP_LOCATION,
        "a region or zone of Google Cloud",
        "a region such as europe-west1, or a zone such as europe-west1-b",
        "choose one of `gcloud compute regions list`",
    ),
]
AwsRegion = Annotated[
    str,
    Matching(
        AWS_REGION,
        "a region of AWS",
        "a region such as eu-central-1",
        "choose one of `aws ec2 describe-regions`",
        may_be_longer=True,
    ),
]
AwsZone = Annotated[
    str,
    Matching(
        AWS_ZONE,
        "an availability zone of AWS",
        "a zone such as eu-central-1a",
        "choose one of `aws ec2 describe-availability-zones`",
    ),
]
AzureLocation = Annotated[
    str,
    Matching(
        AZURE_LOCATION,
        "a region of Azure",
        "its name in lower case without spaces, such as westeurope",
        "choose one of `az account list-locations --output table`",
        for_space="",
    ),
]
ControlPlaneNetwork = Annotated[
    str,
    AfterValidator(control_plane_network),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9.]+/28$"}),
]
GkeName = Annotated[
    str, AfterValidator(gke_name), WithJsonSchema({"type": "string", "pattern": "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"})
]
KubeconfigPath = Annotated[str, AfterValidator(kubeconfig_path), WithJsonSchema({"type": "string", "minLength": 1})]
KubeconfigPathOrText = Annotated[
    Annotated[KubeconfigPath, Tag(TEXT)] | Annotated[Encrypted, Tag(ENCRYPTED)], Discriminator(kind_of_text)
]
"""A kubeconfig: the path of its file, or its text, encrypted."""
EntraId = Annotated[
    str,
    Matching(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "the object id of a group",
        "an id such as 11111111-2222-3333-4444-555555555555",
        "take it from `az ad group show --group NAME --query id`",
    ),
]
StackName = Annotated[
    str,
    Matching(
        STACK_REFERENCE,
        "the full name of a stack",
        "<organization>/<project>/<stack>; with a state in files or buckets, the organization is `organization`",
        "write organization/istio-canary/prod-cluster, for example; `pulumi stack ls --all` lists the stacks",
    ),
]
Label = Annotated[
    str,
    Matching(
        LABEL,
        "a label's name",
        "1 to 63 characters of a-z, 0-9, '-' and '_', beginning with a letter",
        "write cost-center",
    ),
]
LabelText = Annotated[
    str, Matching(LABEL_TEXT, "a label's value", "at most 63 characters of a-z, 0-9, '-' and '_'", "write shop")
]
