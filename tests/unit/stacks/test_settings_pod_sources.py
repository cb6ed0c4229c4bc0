"""Variables, pull secrets and volumes in Kubernetes' own words, and what is told of mistakes in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stacks.recording import record
from stacks.settings.loading import load
from tests.unit.problems import (
    HERE,
    V1,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    service,
    version,
    warnings_of,
)

NAMES = "[{name: a, emptyDir: {}}, {name: b, secret: {secretName: b}}]"


def mounted(mounts: str, volumes: str = NAMES, more: str = "") -> str:
    return version(f"volumes: {volumes}, volumeMounts: {mounts}{more}")


CASES = [
    Case("a number", version("env: {A: 1}"), f"{V1}.env.A", ('put it in quotes: "1"',)),
    Case("no value", version("env: {A: null}"), f"{V1}.env.A", ("the key has no value",)),
    Case("a list of variables", version("env: [{name: A, value: x}]"), f"{V1}.env",
         ("this is a list of variables", 'write {"A": "x"}')),
    Case("a text under value", version("env: {A: {value: x}}"), f"{V1}.env.A", ('write "x"',)),
    Case("a source without valueFrom", version("env: {A: {secretKeyRef: {name: a, key: b}}}"), f"{V1}.env.A",
         ('write {valueFrom: {"secretKeyRef": {"name": "a", "key": "b"}}}',)),
    Case("no source", version("env: {A: {valueFrom: {}}}"), f"{V1}.env.A.valueFrom",
         ("valueFrom has no source", "exactly one of secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef")),
    Case("two sources", version("env: {A: {valueFrom: {fieldRef: {fieldPath: metadata.name}, secretKeyRef: "
         "{name: a, key: b}}}}"), f"{V1}.env.A.valueFrom", ("secretKeyRef and fieldRef are both set",)),
    Case("a misspelt source", version("env: {A: {valueFrom: {secretRef: {name: a, key: b}}}}"),
         f"{V1}.env.A.valueFrom.secretRef", ("the keys secretKeyRef, configMapKeyRef",)),
    Case("no key", version("env: {A: {valueFrom: {secretKeyRef: {name: a}}}}"),
         f"{V1}.env.A.valueFrom.secretKeyRef.key", ("this key is missing",)),
    Case("no such field", version("env: {A: {valueFrom: {fieldRef: {fieldPath: status.phase}}}}"),
         f"{V1}.env.A.valueFrom.fieldRef.fieldPath", ("is not a field of the pod", "metadata.labels['<key>']")),
    Case("no such resource", version("env: {A: {valueFrom: {resourceFieldRef: {resource: cpu}}}}"),
         f"{V1}.env.A.valueFrom.resourceFieldRef.resource", ("write limits.memory, for example",)),
    Case("envFrom as text", version("envFrom: [{secretRef: shop-db}]"), f"{V1}.envFrom[0].secretRef",
         ('write {"name": "shop-db"}',)),
    Case("envFrom as a mapping", version("envFrom: {secretRef: {name: a}}"), f"{V1}.envFrom",
         ('write it as a list: [{"secretRef": {"name": "a"}}]',)),
    Case("envFrom of both", version("envFrom: [{secretRef: {name: a}, configMapRef: {name: a}}]"), f"{V1}.envFrom[0]",
         ("secretRef and configMapRef are both set",)),
    Case("envFrom of nothing", version("envFrom: [{prefix: A_}]"), f"{V1}.envFrom[0]", ("the entry has no source",)),
    Case("a prefix that is none", version("envFrom: [{prefix: 1-, secretRef: {name: a}}]"), f"{V1}.envFrom[0].prefix",
         ("cannot name an environment variable",)),
    Case("a pull secret as text", version("imagePullSecrets: regcred"), f"{V1}.imagePullSecrets",
         ('write it as a list: ["regcred"]',)),
    Case("a pull secret twice", version("imagePullSecrets: [regcred, {name: regcred}]"), f"{V1}.imagePullSecrets",
         ("'regcred' is given twice",)),
    Case("a pull secret of another kind", version("imagePullSecrets: [{secretName: regcred}]"),
         f"{V1}.imagePullSecrets[0]", ("this is a mapping",)),
    Case("a volume without source", version("volumes: [{name: a}]"), f"{V1}.volumes[0]",
         ("the volume has no source", "write emptyDir: {}")),
    Case("a volume of another kind", version("volumes: [{name: a, hostPath: {path: /}}]"), f"{V1}.volumes[0].hostPath",
         ("there is no such key",)),
    Case("a Secret's name as in projected", version("volumes: [{name: a, secret: {name: a}}]"),
         f"{V1}.volumes[0].secret.name", ("there is no such key",)),
    Case("permissions without quotes", version("volumes: [{name: a, secret: {secretName: a, defaultMode: 0440}}]"),
         f"{V1}.volumes[0].secret.defaultMode", ('fix:     put it in quotes: "0440"',)),
    Case("permissions in decimal", version("volumes: [{name: a, secret: {secretName: a, defaultMode: 644}}]"),
         f"{V1}.volumes[0].secret.defaultMode", ('write "0644"',)),
    Case("a path out of the volume", mounted("[{name: a, mountPath: /a, subPath: ../b}]"),
         f"{V1}.volumeMounts[0].subPath", ("is not a path inside the volume",)),
    Case("a mount without a volume", mounted("[{name: aa, mountPath: /a}]"), f"{V1}.volumeMounts[0].name",
         ("there is no volume 'aa'; the nearest is 'a'", "allowed: one of a, b", "write a")),
    Case("a mount and no volumes", version("volumeMounts: [{name: tmp, mountPath: /a}]"), f"{V1}.volumeMounts[0].name",
         ("there is no volume 'tmp'", "add {name: tmp, …} to istio-canary:services.shop.versions.v1.volumes")),
    Case("two at one path", mounted("[{name: a, mountPath: /a}, {name: b, mountPath: /a/}]"),
         f"{V1}.volumeMounts[1].mountPath", ("volumeMounts[0] has the same path",)),
    Case("at the path of configFiles", mounted("[{name: a, mountPath: /etc/shop}]", more=", configFiles: {/etc/shop/: "
         "{a: b}}"), f"{V1}.volumeMounts[0].mountPath", ('configFiles["/etc/shop/"] is mounted at the same path',)),
    Case("over a file of configFiles", mounted("[{name: a, mountPath: /etc/shop/a, subPath: a}]", more=", configFiles: "
         "{/etc/shop: {a: b}}"), f"{V1}.volumeMounts[0].mountPath", ("it would hide", 'configFiles["/etc/shop"].a')),
    Case("at the root", mounted("[{name: a, mountPath: /.}]"), f"{V1}.volumeMounts[0].mountPath",
         ("the image's own files are there",)),
    Case("where the proxy's files are", mounted("[{name: a, mountPath: /var/run/secrets/istio/x}]"),
         f"{V1}.volumeMounts[0].mountPath", ("Istio's proxy has its files there",)),
    Case("two volumes of one name", version("volumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]"),
         f"{V1}.volumes[1].name", ("volumes[0] has the same name",)),
    Case("a volume of Istio's name", version("volumes: [{name: istio-data, emptyDir: {}}]"), f"{V1}.volumes[0].name",
         ("Istio adds a volume of this name",)),
    Case("a volume of our name", version("volumes: [{name: config-0, emptyDir: {}}]"), f"{V1}.volumes[0].name",
         ("configFiles become volumes of this name",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)
    assert_is_reported_once(case, tmp_path)


CLAIM = "volumes: [{name: data, persistentVolumeClaim: {claimName: data}}], volumeMounts: [{name: data, mountPath: /d}]"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("volumes: [{name: a, emptyDir: {}}]", "nothing mounts the volume a"),
        (f"{CLAIM}, replicas: 2", "up to 3 pods mount the claim at a time"),
        (CLAIM, "up to 2 pods mount the claim at a time"),
        (f"{CLAIM}, strategy: {{type: Recreate}}, replicas: 2", "up to 2 pods mount the claim at a time"),
        ('volumes: [{name: a, secret: {secretName: a, defaultMode: "0400"}}], volumeMounts: [{name: a, mountPath: /a}]',
         "the container's user 65532 cannot read them with permissions 0400"),
        ("volumes: [{name: a, projected: {defaultMode: 256, sources: [{secret: {name: a}}]}}], "
         "volumeMounts: [{name: a, mountPath: /a}]", "with permissions 0400"),
    ],
)  # fmt: skip
def test_what_may_not_be_intended_is_a_warning(keys: str, words: str, tmp_path: Path) -> None:
    (problem,) = warned(keys, tmp_path)

    assert words in str(problem)
    assert problem.fix
    assert problem.line == 4


@pytest.mark.parametrize(
    "keys",
    [
        f"{CLAIM}, strategy: {{type: Recreate}}",
        f"{CLAIM}, replicas: 0",
        CLAIM.replace("claimName: data", "claimName: data, readOnly: true") + ", replicas: 3",
        'volumes: [{name: a, secret: {secretName: a, defaultMode: "0444"}}], volumeMounts: [{name: a, mountPath: /a}]',
        "volumes: [{name: a, emptyDir: {}}], volumeMounts: [{name: a, mountPath: /etc/shop/more}], "
        "configFiles: {/etc/shop: {a: b}}",
    ],
)
def test_what_is_as_it_should_be_is_no_warning(keys: str, tmp_path: Path) -> None:
    assert warned(keys, tmp_path) == ()


def warned(keys: str, folder: Path) -> Any:
    return warnings_of(folder, version(keys).replace(HERE, ""))


SOURCES = """\
env:
  A: {valueFrom: {secretKeyRef: {name: a, key: b, optional: true}}}
  B: {valueFrom: {configMapKeyRef: {name: a, key: b}}}
  C: {valueFrom: {fieldRef: {apiVersion: v1, fieldPath: "metadata.annotations['a/b']"}}}
  D: {valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m, containerName: shop}}}
envFrom:
  - {secretRef: {name: a, optional: true}, prefix: A_}
  - configMapRef: {name: b}
volumes:
  - {name: a, secret: {secretName: a, optional: true, items: [{key: a, path: b/c, mode: 256}]}}
  - {name: b, configMap: {name: b, defaultMode: 292}}
  - {name: c, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: d, persistentVolumeClaim: {claimName: d, readOnly: true}}
  - name: e
    projected:
      sources:
        - secret: {name: a, items: [{key: a, path: a}]}
        - configMap: {name: b, optional: true}
        - serviceAccountToken: {path: token, audience: a, expirationSeconds: 600}
        - downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}}]}
  - {name: f, emptyDir: {}}
volumeMounts:
  - {name: a, mountPath: /a, subPath: b/c, readOnly: true}
  - {name: f, mountPath: /f}
imagePullSecrets: [{name: a}]
"""


def test_kubernetes_gets_what_is_written_field_by_field() -> None:
    keys = yaml.safe_load(SOURCES)
    loaded = load({"services": {"shop": {"hosts": ["a.b"], "versions": {"v1": {"image": "a", "port": 80, **keys}}}}})
    (deployment,) = [one for one in record(loaded, "dev") if one.type.endswith(":Deployment")]
    pod = deployment.spec["template"]["spec"]
    (container,) = pod["containers"]

    assert container["env"] == [{"name": name, **value} for name, value in keys["env"].items()]
    assert container["envFrom"] == keys["envFrom"]
    assert container["volumeMounts"] == keys["volumeMounts"]
    assert pod["volumes"] == keys["volumes"]
    assert pod["imagePullSecrets"] == keys["imagePullSecrets"]


@settings(deadline=None)
@given(st.integers(0, 0o777))
def test_permissions_are_the_same_in_octal_text_and_as_a_number(mode: int) -> None:
    def modes(given: Any) -> Any:
        volume = {"name": "a", "secret": {"secretName": "a", "defaultMode": given}}
        version = {"image": "a", "port": 80, "volumes": [volume]}
        loaded = load({"services": {"shop": {"hosts": ["a.b"], "versions": {"v1": version}}}})
        secret = loaded.services["shop"].deployed["v1"].volumes[0].secret
        assert secret is not None
        return secret.default_mode

    assert modes(mode) == modes(f"{mode:04o}") == modes(f"{mode:03o}") == mode


def test_both_forms_of_a_pull_secret_are_the_same() -> None:
    text = service("hosts: [a.b]\nversions: {v1: {image: a, port: 80, imagePullSecrets: PULL}}\n")
    values = [
        yaml.safe_load(text.replace("PULL", form))["config"]
        for form in ("[regcred, b]", "[{name: regcred}, {name: b}]")
    ]
    assert load(values[0]) == load(values[1])
