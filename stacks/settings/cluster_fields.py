"""The small types of a cluster's settings: versions of Kubernetes, networks, names of clouds and of stacks."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from traffic.fields import wrong

MINOR = r"1\.[0-9]{2}"
RELEASE = rf"{MINOR}(\.[0-9]+)?"
OLDEST_MINOR = 31
"""The oldest Kubernetes that Istio 1.31 supports (Istio: "Supported Releases")."""
NETWORK = r"[0-9a-fA-F:.]+/[0-9]{1,3}"
GCP_PROJECT = r"[a-z][a-z0-9-]{4,28}[a-z0-9]"
GCP_LOCATION = r"[a-z]+-[a-z]+[0-9]+(-[a-z])?"
AWS_REGION = r"[a-z]{2}(-[a-z]+)+-[0-9]"
AWS_ZONE = rf"{AWS_REGION}[a-z]"
AZURE_LOCATION = r"[a-z]+[0-9]?"
STACK_REFERENCE = r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+"
LABEL = r"[a-z][a-z0-9_-]{0,62}"
LABEL_TEXT = r"[a-z0-9_-]{0,63}"
SMALLEST_PREFIX = 8
"""Larger networks are most of the internet, under another name than 0.0.0.0/0."""


def kubernetes_version(value: Any) -> Any:
    """Return `value` if it is a release of Kubernetes as text.

    A number is refused: YAML reads 1.40 as 1.4.
    """
    allowed = f'a release of Kubernetes in quotes, such as "1.34" or "1.34.1", from 1.{OLDEST_MINOR} on'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        fix = f'put it in quotes: "{value}"' if re.fullmatch(RELEASE, str(value)) else 'write "1.34", for example'
        raise wrong(f"{value} is a number, which loses a 0 at its end", allowed, fix)
    if not isinstance(value, str) or not re.fullmatch(RELEASE, value):
        raise wrong(f"{value!r} is not a release of Kubernetes", allowed, 'write "1.34", for example')
    if int(value.split(".")[1]) < OLDEST_MINOR:
        raise wrong(f"Kubernetes {value} is older than what Istio supports", allowed, "choose a newer release")
    return value


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

    def check(self, value: str) -> str:
        """Return `value` if it matches."""
        if re.fullmatch(self.pattern, value):
            return value
        raise wrong(f"{value!r} is not {self.what}", self.allowed, self.fix)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^({self.pattern})$", "minLength": 1}


KubernetesVersion = Annotated[
    str,
    BeforeValidator(kubernetes_version),
    WithJsonSchema({"type": "string", "pattern": f"^({RELEASE})$"}),
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
        AWS_REGION, "a region of AWS", "a region such as eu-central-1", "choose one of `aws ec2 describe-regions`"
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
    ),
]
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
