"""Texts that are secret: the Secrets that they become, and what the pods see of them."""

from __future__ import annotations

from typing import Any

import pulumi_kubernetes as k8s
import pytest

from components.secrets import SecretText, fingerprints_hash
from components.versioned_service import VersionArgs, VersionedService, VersionedServiceArgs
from tests.unit.mocks import Deploy, Run, in_cluster

HIDDEN = "correct-horse-battery"


def secret(fingerprint: str = "1", text: str = HIDDEN) -> SecretText:
    return SecretText(value=text, fingerprint=fingerprint)


def deployed(deploy: Deploy, **changes: Any) -> Run:
    def program() -> Any:
        version = VersionArgs(
            name="shop-v1",
            label="shop-v1",
            image="shop:1",
            port=8080,
            security_context=k8s.core.v1.SecurityContextArgs(run_as_user=1000),
            **changes,
        )
        args = VersionedServiceArgs(service="shop", namespace="shop", port=80, versions={"v1": version})
        service = VersionedService("shop", args, in_cluster())
        service.complete([], None)
        return service.service_name

    return deploy(program)


def secrets_of(run: Run) -> list[Any]:
    return [one for one in run.resources if one.type == "kubernetes:core/v1:Secret"]


def pod(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run.named("shop-v1", "kubernetes:apps/v1:Deployment").spec["template"]["spec"]
    return found


def test_secret_variables_are_in_one_immutable_secret(deploy: Deploy) -> None:
    run = deployed(deploy, env={"A": "a", "B": secret(), "C": secret("2"), "D": ""})
    (made,) = secrets_of(run)

    assert made.inputs["immutable"] is True
    assert made.inputs["type"] == "Opaque"
    name = made.metadata["name"]
    assert name == f"shop-v1-env-{fingerprints_hash('env', {'B': secret(), 'C': secret('2')})}"
    reference = [{"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}} for key in "BC"]
    assert pod(run)["containers"][0]["env"] == [{"name": "A", "value": "a"}, *reference, {"name": "D"}]


@pytest.mark.parametrize(
    ("files", "kinds"),
    [
        ({"a": "text"}, ["configMap"]),
        ({"a": secret()}, ["secret"]),
        ({"a": "text", "b": secret()}, ["projected"]),
    ],
)
def test_secret_files_are_mounted_beside_plain_ones(files: Any, kinds: list[str], deploy: Deploy) -> None:
    run = deployed(deploy, config_files={"/etc/shop": files})
    (volume,) = pod(run)["volumes"]

    assert [key for key in volume if key != "name"] == kinds
    assert pod(run)["containers"][0]["volumeMounts"] == [
        {"name": volume["name"], "mountPath": "/etc/shop", "readOnly": True}
    ]
    for config_map in (one for one in run.resources if one.type.endswith(":ConfigMap")):
        assert config_map.inputs["data"] == {key: text for key, text in files.items() if isinstance(text, str)}


def test_a_name_tells_that_a_text_was_set_again_and_nothing_about_it() -> None:
    names = [fingerprints_hash("env", {"A": secret(*given)}) for given in (("1",), ("1", "other"), ("2",))]

    assert names[0] == names[1] != names[2]
    assert HIDDEN not in repr(secret())


def test_pull_secrets_are_those_of_the_pods_and_of_their_account(deploy: Deploy) -> None:
    run = deployed(deploy, image_pull_secrets=["regcred"])
    (account,) = [one for one in run.resources if one.type.endswith(":ServiceAccount")]

    assert pod(run)["imagePullSecrets"] == account.inputs["imagePullSecrets"] == [{"name": "regcred"}]


def test_without_secrets_nothing_is_added(deploy: Deploy) -> None:
    run = deployed(deploy)
    (account,) = [one for one in run.resources if one.type.endswith(":ServiceAccount")]

    assert secrets_of(run) == []
    assert "imagePullSecrets" not in account.inputs
    assert not {"imagePullSecrets", "volumes"} & pod(run).keys()
    assert not {"env", "envFrom", "volumeMounts"} & pod(run)["containers"][0].keys()
