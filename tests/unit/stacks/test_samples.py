"""The samples: that all run side by side in one mesh, and what a stack lays over them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.checks.warnings import warnings
from stacks.samples import SETTINGS
from stacks.settings.loading import load, load_stack
from stacks.settings.model import Sample
from stacks.settings.problems import SettingsError
from stacks.simulator import simulator_of
from tests.unit.stacks.sample_stacks import ASSETS, JAVA, ONE, chosen, deployed, registered
from traffic.simulate import Forwarded, Request

PROJECT = Path(__file__).parents[3]
TOGETHER = [sample for sample in Sample if sample is not Sample.ASSETS_INGRESS]
"""All samples that can be chosen together."""


@pytest.mark.parametrize("sample", Sample)
def test_a_sample_loads_without_problems_and_without_warnings(sample: Sample) -> None:
    settings = chosen(sample)

    assert settings.services
    assert list(warnings(settings)) == []


@pytest.mark.parametrize("sample", Sample)
def test_every_pod_of_a_sample_has_the_labels_app_and_version(sample: Sample) -> None:
    run = deployed(sample)

    for deployment in run.of_type(":Deployment"):
        labels = deployment.spec["template"]["metadata"]["labels"]
        assert set(labels) == {"app", "version"}
        assert labels["version"].startswith(f"{labels['app']}-")
        assert deployment.spec["selector"]["matchLabels"] == labels, "versions must not select each other's pods"


def test_all_samples_run_side_by_side_each_in_namespaces_of_its_own() -> None:
    settings = chosen(*TOGETHER)

    of_sample = {sample: {one.namespace for one in chosen(sample).services.values()} for sample in TOGETHER}
    assert sum(map(len, of_sample.values())) == len(set().union(*of_sample.values())), of_sample
    assert {service.namespace for service in settings.services.values()} == {
        *("website-istio-ns", "hello", "java", "greencompute", "starter")
    }
    assert list(warnings(settings)) == []


@pytest.mark.parametrize(
    ("host", "port", "path", "target"),
    [
        ("any.example.com", 80, "/", "website/version-1"),
        ("hello.localhost", 80, "/", "hello-minikube/version-1"),
        ("any.example.com", 9191, "/goservice", f"{JAVA}/{ONE}"),
        ("go-service.localhost", 9191, "/goservice", "cloudnative-go-service/version-1"),
        ("frontend.localhost", 9191, "/", "cloudnative-frontend/version-1"),
        (ASSETS, 80, "/assetmgrms/assets", "asset-mgr-ms-svc/version-1"),
        ("starter.localhost", 80, "/web-api/v1/getmultiple", "web-api/v1"),
    ],
)
def test_no_sample_takes_a_request_of_another(host: str, port: int, path: str, target: str) -> None:
    decision = simulator_of(chosen(*TOGETHER)).decide(Request(authority=host, port=port, path=path))

    assert isinstance(decision.outcome, Forwarded)
    assert "/".join(decision.outcome.shares[0].target) == target


@pytest.mark.parametrize("sample", Sample)
def test_the_images_of_a_sample_are_those_of_the_project_and_pinned(sample: Sample) -> None:
    images = {version.image for service in chosen(sample).services.values() for version in service.deployed.values()}

    assert all(image.startswith(("istio-canary/", "hashicorp/http-echo:")) and ":" in image for image in images)


@pytest.mark.parametrize(
    ("block", "name", "needs"),
    [
        ("services", "cloudnative-frontend", Sample.JAVA_SERVICE),
        ("egress", "blog", Sample.CLOUD_NATIVE_STARTER),
        ("namespaces", "starter", Sample.CLOUD_NATIVE_STARTER),
    ],
)
def test_an_entry_of_a_sample_that_is_null_is_removed(block: str, name: str, needs: Sample) -> None:
    assert name in SETTINGS[needs][block]

    assert name not in getattr(chosen(needs, **{block: {name: None}}), block)


def test_the_other_blocks_of_a_sample_are_merged_too() -> None:
    egress = {"blog": {"resolution": "STATIC", "endpoints": ["192.0.2.1"]}}
    blog = chosen(Sample.CLOUD_NATIVE_STARTER, egress=egress).egress["blog"]

    assert (blog.hosts, blog.endpoints) == (("blog.example.com",), ("192.0.2.1",))


def test_a_problem_in_a_samples_gateway_names_the_sample() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"samples": ["java-service"]})

    assert {problem.sample for problem in caught.value.problems} == {"java-service"}


@pytest.mark.parametrize("file", sorted(PROJECT.glob("Pulumi.*.yaml")), ids=lambda file: file.name)
def test_the_objects_of_every_committed_stack_are_accepted_by_istios_crds(file: Path) -> None:
    settings = load_stack(file).settings
    run = registered(settings)

    assert run.of_type(":VirtualService") or not settings.services, "the mock engine checks each"
