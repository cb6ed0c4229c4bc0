"""Whether a cloud takes the credentials, and offers the version in the region: asked before anything is created.

The functions of Pulumi's providers only read. A run that may not ask them goes on, and fails later with the cloud's own
message if it has to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stacks.settings.cluster import AksSettings, CloudSettings, EksSettings, GkeSettings
from stacks.settings.problems import Problem

PATH = "istio-canary:cluster"
NO_CREDENTIALS = re.compile(
    r"credential|unauthenticated|not logged in|az login|oauth2|ExpiredToken|InvalidClientTokenId|401", re.IGNORECASE
)
NO_PLACE = re.compile(
    r"(region|location|zone)\b.*(not|invalid|unknown)|(invalid|unknown).*(region|location)", re.IGNORECASE
)
FORBIDDEN = re.compile(r"\b403\b|AccessDenied|permission|not authorized|AuthorizationFailed", re.IGNORECASE)
MOST = 8
"""Versions that a message lists."""


@dataclass(frozen=True)
class _Cloud:
    """How a cloud is asked: `versions` returns what it offers in the place, None if it is not asked that."""

    name: str
    place_key: str
    log_in: str
    places: str
    versions: Callable[[], Sequence[str] | None]
    wanted: str | None


def refused(cluster: CloudSettings, file: str) -> Iterator[Problem]:
    """Yield why the cloud would not create the cluster: no credentials, no such region, or a version not offered."""
    cloud = _cloud(cluster)
    try:
        offered = cloud.versions()
    except Exception as error:  # noqa: BLE001 - the SDK raises Exception itself, with the provider's words
        said = " ".join(str(error).split())
        if NO_CREDENTIALS.search(said):
            yield _problem(
                "kind",
                f"{cloud.name} has not accepted the credentials: {said}",
                str(getattr(cluster, "kind", "")),
                f"credentials of {cloud.name} on this machine",
                cloud.log_in,
                file,
            )
        elif NO_PLACE.search(said):
            fix = f"choose one of `{cloud.places}`"
            allowed = f"a region of {cloud.name}"
            yield _problem(cloud.place_key, f"{cloud.name} says: {said}", cluster.place, allowed, fix, file)
        elif not FORBIDDEN.search(said):
            yield _problem(
                "kind",
                f"{cloud.name} cannot be asked: {said}",
                str(getattr(cluster, "kind", "")),
                f"{cloud.name} that answers",
                "correct what it says, and run the command again",
                file,
            )
        return
    if cloud.wanted and offered is not None and not any(_is_release(one, cloud.wanted) for one in offered):
        yield _problem(
            "version",
            f"{cloud.name} does not offer Kubernetes {cloud.wanted} in {cluster.place}",
            f'"{cloud.wanted}"',
            f"one of {', '.join(offered[:MOST]) or 'none'}",
            f'write version: "{".".join(offered[0].split(".")[:2])}"' if offered else "choose another region",
            file,
        )


def _is_release(offered: str, wanted: str) -> bool:
    """Whether an offered version, such as 1.34.1-gke.100, is the wanted release, such as 1.34."""
    return offered == wanted or offered.startswith((f"{wanted}.", f"{wanted}-"))


def _problem(key: str, what: str, given: str, allowed: str, fix: str, file: str) -> Problem:
    return Problem(path=f"{PATH}.{key}", what=what, given=given, allowed=allowed, fix=fix, file=file)


def _cloud(cluster: CloudSettings) -> _Cloud:
    if isinstance(cluster, GkeSettings):
        return _Cloud(
            "Google Cloud",
            "location",
            "log in: gcloud auth application-default login; in a pipeline, set GOOGLE_APPLICATION_CREDENTIALS or use "
            "workload identity federation",
            "gcloud compute regions list",
            lambda: _gke_versions(cluster),
            cluster.version,
        )
    if isinstance(cluster, EksSettings):
        return _Cloud(
            "AWS",
            "region",
            "log in: aws sso login, or aws configure; in a pipeline, take a role by OIDC",
            "aws ec2 describe-regions",
            lambda: _eks_versions(cluster),
            cluster.version,
        )
    assert isinstance(cluster, AksSettings)
    return _Cloud(
        "Azure",
        "location",
        "log in: az login, and set ARM_SUBSCRIPTION_ID; in a pipeline, use OIDC with ARM_USE_OIDC",
        "az account list-locations --output table",
        _azure_identity,
        cluster.version,
    )


def _gke_versions(cluster: GkeSettings) -> Sequence[str]:
    from pulumi_gcp import container

    found = container.get_engine_versions(location=cluster.location, project=cluster.project)
    return list(found.valid_master_versions)


def _eks_versions(cluster: EksSettings) -> Sequence[str]:
    from pulumi_aws import eks

    found = eks.get_cluster_versions(region=cluster.region)
    return [str(one.cluster_version) for one in found.cluster_versions]


def _azure_identity() -> None:
    """Only the credentials: pulumi-azure-native has no function for AKS's versions."""
    from pulumi_azure_native import authorization

    authorization.get_client_config()
