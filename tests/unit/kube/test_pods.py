"""Why a pod is not ready: without what is in its Secrets, and with what is to do about a missing one."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import pytest
from lightkube import ApiError
from lightkube.models.core_v1 import Event as EventModel
from lightkube.resources.core_v1 import Pod

from kube.missing_sources import fix_of
from kube.pod_secrets import masked, secret_names
from kube.pods import why_not_ready

HELD = "s3cret-of-the-shop"
LOG = f"cannot log in with {HELD}"


def pod(**state: Any) -> Any:
    """A pod that reads a Secret in each possible way; its container has this state."""
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "of-a-variable", "key": "a"}}},
        {"name": "B", "value": "b"},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    sources = [{"secretRef": {"name": "of-all-variables"}}, {"configMapRef": {"name": "no"}}]
    volumes = [
        {"name": "a", "secret": {"secretName": "of-a-volume"}},
        {"name": "b", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "no"}}]}},
        {"name": "c", "emptyDir": {}},
    ]
    status = {"name": "shop", "ready": False, "restartCount": 1, "image": "", "imageID": "", "state": state}
    return Pod.from_dict(
        {
            "metadata": {"name": "shop-1", "namespace": "shop", "uid": "1"},
            "spec": {"containers": [{"name": "shop", "env": env, "envFrom": sources}], "volumes": volumes},
            "status": {"containerStatuses": [status]},
        }
    )


class FakeCluster:
    """A cluster with one Secret, which may be read or not, and a container's log."""

    def __init__(self, refused: int = 0, events: tuple[str, ...] = ()) -> None:
        self.refused, self.events = refused, events

    def get(self, kind: Any, name: str, namespace: str) -> Any:
        code = self.refused or (200 if name == "of-a-variable" else 404)
        if code != 200:
            answer = httpx2.Response(code, request=httpx2.Request("GET", "http://x"), json={"code": code})
            raise ApiError(answer.request, answer)
        data = {"a": HELD, "short": "no", "lines": f"first line\n  {HELD}2\n"}
        return kind.from_dict({"data": {key: base64.b64encode(one.encode()).decode() for key, one in data.items()}})

    def log(self, name: str, **options: Any) -> list[str]:
        return [f"{LOG}\n", "no first line is shown\n"]

    def list(self, kind: Any, **options: Any) -> list[Any]:
        return [EventModel.from_dict({"involvedObject": {}, "metadata": {}, "reason": "Failed", "message": one})
                for one in self.events]  # fmt: skip


CRASHED = pod(terminated={"exitCode": 1, "reason": "Error", "message": f'exec: "{HELD}": not found'})


def test_all_secrets_of_a_pod_are_known() -> None:
    assert secret_names(CRASHED) == ["of-a-variable", "of-all-variables", "of-a-volume", "projected"]


def test_no_line_has_what_is_in_a_secret_of_the_pod() -> None:
    lines = list(why_not_ready(FakeCluster(events=(f"started {HELD}2",)), CRASHED))  # type: ignore[arg-type]

    assert lines == [
        'container shop: exited with 1 (Error, 1 restarts): exec: "[secret]": not found',
        "  | cannot log in with [secret]",
        "  | no [secret] is shown",
        "Failed: started [secret]",
    ]


def test_a_log_is_left_out_where_the_secrets_may_not_be_read() -> None:
    lines = list(why_not_ready(FakeCluster(refused=403), CRASHED))  # type: ignore[arg-type]

    assert LOG not in "".join(lines)
    assert lines[-1] == (
        "(its log is not shown: it may have what is in of-a-variable, of-all-variables, of-a-volume, projected, which "
        "may not be read here)"
    )


def test_a_longer_text_is_masked_before_one_that_is_in_it() -> None:
    assert masked("abcdef abc", ["abcdef", "abc"]) == "[secret] [secret]"


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        ('CreateContainerConfigError: secret "shop-db" not found', "create the Secret shop-db in namespace shop"),
        ('CreateContainerConfigError: configmap "flags" not found', "create the ConfigMap flags in namespace shop"),
        ("CreateContainerConfigError: couldn't find key password in Secret shop/shop-db",
         "add the key password to the Secret shop-db in namespace shop"),
        ("CreateContainerConfigError: couldn't find key a.b in ConfigMap shop/flags", "to the ConfigMap flags"),
        ('FailedMount: MountVolume.SetUp failed for volume "tls" : secret "shop-tls" not found',
         "create the Secret shop-tls in namespace shop"),
        ('FailedMount: MountVolume.SetUp failed for volume "tls" : references non-existent secret key: tls.key',
         "add the key tls.key to the Secret in namespace shop, or correct `items`"),
        ("FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (regcred); attempting to pull",
         "create the Secret regcred in namespace shop, with kubectl create secret docker-registry"),
        ('not scheduled: persistentvolumeclaim "data" not found.', "create the PersistentVolumeClaim data"),
        ("container shop: CrashLoopBackOff", None),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_with_what_to_do(message: str, fix: str | None) -> None:
    found = fix_of(message, "shop")

    assert found is None if fix is None else fix in str(found)


def test_a_fix_is_told_once_after_all_reasons() -> None:
    waiting = pod(waiting={"reason": "CreateContainerConfigError", "message": 'secret "shop-db" not found'})
    lines = list(why_not_ready(FakeCluster(events=('Error: secret "shop-db" not found',)), waiting))  # type: ignore[arg-type]

    assert lines == [
        'container shop: CreateContainerConfigError: secret "shop-db" not found',
        'Failed: Error: secret "shop-db" not found',
        "fix: create the Secret shop-db in namespace shop, then it starts",
    ]
