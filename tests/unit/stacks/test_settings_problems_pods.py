"""Mistakes in autoscaling, probes, pod templates and the ServiceAccount are reported with their line and the fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stacks.settings.loading import load
from stacks.settings.problems import SettingsError
from tests.unit.problems import (
    HERE,
    HOSTS,
    ONE,
    SHOP,
    V1,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    problems_of,
    service,
    version,
)

AUTOSCALING = f"{V1}.autoscaling"
TEMPLATE = f"{V1}.podTemplate"
OWN = f"{TEMPLATE}.spec.containers[0]"


def scaled(keys: str) -> str:
    """A service whose version has these keys in its autoscaling."""
    return version(f"autoscaling: {{{keys}}}")


def template(text: str, more: str = "") -> str:
    """A service whose version has this pod template."""
    return version(f"{more}podTemplate: {{{text}}}")


def spec(text: str, more: str = "") -> str:
    """A service whose version has this pod spec in its template."""
    return template(f"spec: {{{text}}}", more)


def own(text: str, more: str = "") -> str:
    """A service whose template has these fields of the version's own container."""
    return spec(f"containers: [{{name: shop, {text}}}]", more)


def further(text: str) -> str:
    """A service whose template has a further container with these fields."""
    return spec(f"containers: [{{name: agent, {text}}}]")


CASES = [
    Case("autoscaling without a maximum", scaled("cpu: 70"), f"{AUTOSCALING}.maxReplicas", ("this key is missing",)),
    Case("autoscaling without a metric", scaled("maxReplicas: 5"), AUTOSCALING, ("no metric", "cpu: 80")),
    Case("a minimum above the maximum", scaled("minReplicas: 6, maxReplicas: 5, cpu: 70"), AUTOSCALING,
         ("minReplicas 6 is above maxReplicas 5", "maxReplicas: 6")),
    Case("a minimum of 0", scaled("minReplicas: 0, maxReplicas: 5, cpu: 70"), f"{AUTOSCALING}.minReplicas",
         ("from 1 to 1000",)),
    Case("a percentage with its sign", scaled('maxReplicas: 5, cpu: "70%"'), f"{AUTOSCALING}.cpu", ("write 70",)),
    Case("a quantity of CPU", scaled("maxReplicas: 5, cpu: 500m"), f"{AUTOSCALING}.cpu", ("metrics", "write 70")),
    Case("a percentage of 0", scaled("maxReplicas: 5, memory: 0"), f"{AUTOSCALING}.memory", ("from 1 to 1000",)),
    Case("a misspelt key of autoscaling", scaled("maxReplica: 5, maxReplicas: 5, cpu: 70"),
         f"{AUTOSCALING}.maxReplica", ("maxReplicas",)),
    Case("replicas beside autoscaling", version("replicas: 3, autoscaling: {maxReplicas: 5, cpu: 70}"),
         f"{V1}.replicas", ("the autoscaler decides", "minReplicas")),
    Case("replicas null beside autoscaling", version("replicas: null, autoscaling: {maxReplicas: 5, cpu: 70}"),
         f"{V1}.replicas", ("remove it",)),
    Case("a misspelt field of a metric", scaled("maxReplicas: 5, metrics: [{type: Pods, pod: {}}]"),
         f"{AUTOSCALING}.metrics[0].pod", ("the nearest is `pods`",)),
    Case("a metric without its source", scaled("maxReplicas: 5, metrics: [{type: Pods}]"),
         f"{AUTOSCALING}.metrics[0]", ("described by pods",)),
    Case("an unknown type of metric", scaled("maxReplicas: 5, metrics: [{type: CPU}]"),
         f"{AUTOSCALING}.metrics[0].type", ("ContainerResource",)),
    Case("cpu as a metric, too", scaled("maxReplicas: 5, cpu: 70, metrics: [{type: Resource, resource: {name: cpu, "
         "target: {type: Utilization, averageUtilization: 50}}}]"),
         f"{AUTOSCALING}.metrics[0].resource.name", ("autoscaling.cpu",)),
    Case("a misspelt field of the behavior", scaled("maxReplicas: 5, cpu: 70, behavior: {scaledown: {}}"),
         f"{AUTOSCALING}.behavior.scaledown", ("rename it to `scaleDown`",)),
    Case("a policy of another type", scaled("maxReplicas: 5, cpu: 70, behavior: {scaleUp: {policies: [{type: Pods, "
         "value: 2}]}}"), f"{AUTOSCALING}.behavior.scaleUp.policies[0].periodSeconds", ("this key is missing",)),
    Case("a budget of all pods that it has at least",
         version("podDisruptionBudget: {minAvailable: 2}, autoscaling: {minReplicas: 2, maxReplicas: 5, cpu: 70}"),
         f"{V1}.podDisruptionBudget.minAvailable", ("none of the 2 pods", "minReplicas")),
    Case("two handlers", version("readinessProbe: {exec: {command: [a]}, grpc: {port: 1}}"), f"{V1}.readinessProbe",
         ("exec and grpc are both set",)),
    Case("a command as text", version("livenessProbe: {exec: {command: /bin/health}}"),
         f"{V1}.livenessProbe.exec.command", ('write it as a list: ["/bin/health"]',)),
    Case("a command without words", version("livenessProbe: {exec: {command: []}}"),
         f"{V1}.livenessProbe.exec.command", ("the value is empty",)),
    Case("a gRPC probe without a port", version("livenessProbe: {grpc: {service: shop}}"),
         f"{V1}.livenessProbe.grpc.port", ("this key is missing",)),
    Case("a startup probe with two successes", version("startupProbe: {grpc: {port: 1}, successThreshold: 2}"),
         f"{V1}.startupProbe", ("a startup probe cannot require 2 successes",)),
    Case("a field at the wrong place", template("nodeSelector: {a: b}"), f"{TEMPLATE}.nodeSelector",
         ("put it into `spec`",)),
    Case("a misspelt field", spec("nodeSelectors: {a: b}"), f"{TEMPLATE}.spec.nodeSelectors",
         ("rename it to `nodeSelector`",)),
    Case("a field of another kind", spec("tolerations: {key: a}"), f"{TEMPLATE}.spec.tolerations", ("a list",)),
    Case("a value that is not in the enum", spec("tolerations: [{key: a, effect: noschedule}]"),
         f"{TEMPLATE}.spec.tolerations[0].effect", ("write NoSchedule",)),
    Case("a number as an annotation", template("metadata: {annotations: {prometheus.io/port: 9090}}"),
         f'{TEMPLATE}.metadata.annotations["prometheus.io/port"]', ('put it in quotes: "9090"',)),
    Case("the label app", template("metadata: {labels: {app: other}}"), f"{TEMPLATE}.metadata.labels.app",
         ("the Service, the Deployments and Istio's subsets",)),
    Case("the label version", template('metadata: {labels: {version: "1"}}'), f"{TEMPLATE}.metadata.labels.version",
         ("Istio's subsets",)),
    Case("Istio's name for metrics", template("metadata: {labels: {service.istio.io/canonical-name: a}}"),
         f'{TEMPLATE}.metadata.labels["service.istio.io/canonical-name"]', ("metrics",)),
    Case("a label that is none", template("metadata: {labels: {team: a b}}"), f"{TEMPLATE}.metadata.labels.team",
         ("is not a label value",)),
    Case("no sidecar, by a label", template('metadata: {labels: {sidecar.istio.io/inject: "false"}}'),
         f'{TEMPLATE}.metadata.labels["sidecar.istio.io/inject"]', ("without Istio's sidecar",)),
    Case("no sidecar, by an annotation", template('metadata: {annotations: {sidecar.istio.io/inject: "false"}}'),
         f'{TEMPLATE}.metadata.annotations["sidecar.istio.io/inject"]', ("without Istio's sidecar",)),
    Case("the port beside the sidecar",
         template('metadata: {annotations: {traffic.sidecar.istio.io/excludeInboundPorts: "9090,8080"}}'),
         f'{TEMPLATE}.metadata.annotations["traffic.sidecar.istio.io/excludeInboundPorts"]', ('write "9090"',)),
    Case("only other ports by the sidecar",
         template('metadata: {annotations: {traffic.sidecar.istio.io/includeInboundPorts: "9090"}}'),
         f'{TEMPLATE}.metadata.annotations["traffic.sidecar.istio.io/includeInboundPorts"]', ('write "9090,8080"',)),
    Case("probes that the sidecar refuses",
         template('metadata: {annotations: {sidecar.istio.io/rewriteAppHTTPProbers: "false"}}'),
         f'{TEMPLATE}.metadata.annotations["sidecar.istio.io/rewriteAppHTTPProbers"]', ("probes",)),
    Case("a proxy's configuration that is none",
         template('metadata: {annotations: {proxy.istio.io/config: "true"}}'),
         f'{TEMPLATE}.metadata.annotations["proxy.istio.io/config"]', ("ProxyConfig",)),
    Case("a name of pods", template("metadata: {name: shop}"), f"{TEMPLATE}.metadata.name", ("has no effect",)),
    Case("no labels", template("metadata: {labels: null}"), f"{TEMPLATE}.metadata.labels", ("null would remove",)),
    Case("no spec", template("spec: null"), f"{TEMPLATE}.spec", ("null would remove",)),
    Case("a ServiceAccount in the template", spec("serviceAccountName: bot"), f"{TEMPLATE}.spec.serviceAccountName",
         ("serviceAccount: {name: bot}",)),
    Case("a grace period in the template", spec("terminationGracePeriodSeconds: 3"),
         f"{TEMPLATE}.spec.terminationGracePeriodSeconds", ("terminationGracePeriodSeconds: 3",)),
    Case("the network of the node", spec("hostNetwork: true"), f"{TEMPLATE}.spec.hostNetwork", ("no sidecar",)),
    Case("another restart policy", spec("restartPolicy: Never"), f"{TEMPLATE}.spec.restartPolicy", ("Always",)),
    Case("a deadline", spec("activeDeadlineSeconds: 60"), f"{TEMPLATE}.spec.activeDeadlineSeconds", ("Deployment",)),
    Case("the user of Istio's proxy", spec("securityContext: {runAsUser: 1337}"),
         f"{TEMPLATE}.spec.securityContext.runAsUser", ("bypasses the mesh",)),
    Case("a volume of the version's files",
         spec("volumes: [{name: config-0, emptyDir: {}}]", "configFiles: {/etc/shop: {a.txt: a}}, "),
         f"{TEMPLATE}.spec.volumes[0].name", ("config-0",)),
    Case("the image", own("image: 'shop:2'"), f"{OWN}.image", ("`image` of the version",)),
    Case("resources twice", own("resources: {limits: {cpu: 1}}", "resources: {limits: {cpu: 2}}, "),
         f"{OWN}.resources", ("also given as",)),
    Case("a variable twice", own("env: [{name: A, value: b}]", "env: {A: a}, "), f"{OWN}.env[0]", ("env.A",)),
    Case("files twice", own("volumeMounts: [{name: tmp, mountPath: /etc/shop}]", "configFiles: {/etc/shop: {a: a}}, "),
         f"{OWN}.volumeMounts[0]", ("configFiles",)),
    Case("another preStop", own("lifecycle: {preStop: {exec: {command: [a]}}}"), f"{OWN}.lifecycle.preStop",
         ("preStopSeconds",)),
    Case("no lifecycle", own("lifecycle: null"), f"{OWN}.lifecycle", ("null would remove",)),
    Case("the port, again", own("ports: [{containerPort: 8080, name: web}]"), f"{OWN}.ports[0]", ("`port` of",)),
    Case("the name of the port", own("ports: [{containerPort: 9090, name: http}]"), f"{OWN}.ports[0].name",
         ("http-9090",)),
    Case("a port of Istio's", own("ports: [{containerPort: 15090}]"), f"{OWN}.ports[0].containerPort", ("Istio",)),
    Case("a misspelt container", spec("containers: [{name: shopp, tty: true}]"), f"{OWN}.name", ("write name: shop",)),
    Case("a further container without an image", further("tty: true"), f"{OWN}.image", ("has no image",)),
    Case("a further container with the version's port", further("image: 'a:1', ports: [{containerPort: 8080}]"),
         f"{OWN}.ports[0].containerPort", ("shop listens on port 8080",)),
    Case("a probe without a handler in the template", further("image: 'a:1', livenessProbe: {periodSeconds: 5}"),
         f"{OWN}.livenessProbe", ("no handler",)),
    Case("a mount of no volume",
         spec("volumes: [{name: cache, emptyDir: {}}], containers: [{name: shop, volumeMounts: [{name: cash, "
              "mountPath: /x}]}]"), f"{OWN}.volumeMounts[0].name", ("write cache",)),
    Case("two containers of one name", spec("containers: [{name: a, image: 'a:1'}, {name: a, image: 'b:1'}]"),
         f"{TEMPLATE}.spec.containers[1].name", ("another container a",)),
    Case("an init container with the version's name", spec("initContainers: [{name: shop, image: 'a:1'}]"),
         f"{TEMPLATE}.spec.initContainers[0].name", ("version's own container",)),
    Case("an init container of Istio", spec("initContainers: [{name: istio-init, image: 'a:1'}]"),
         f"{TEMPLATE}.spec.initContainers[0].name", ("container of Istio",)),
    Case("a template that is a list", version("podTemplate: [a]"), TEMPLATE, ("a mapping",)),
    Case("annotations of another's ServiceAccount",
         service(f"serviceAccount: {{name: bot, annotations: {{a: b}}}} {HERE}\n{HOSTS}{ONE}"),
         f"{SHOP}.serviceAccount", ("does not make the ServiceAccount bot",)),
    Case("a ServiceAccount that cannot be", service(f"serviceAccount: {{name: My Bot}} {HERE}\n{HOSTS}{ONE}"),
         f"{SHOP}.serviceAccount.name", ("not the name of a ServiceAccount",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_in_pods_is_reported_with_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_in_pods_is_reported_once(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


def test_a_mistake_in_the_services_template_is_reported_once_for_all_versions(tmp_path: Path) -> None:
    versions = "versions: {v1: {image: 'shop:1', port: 8080}, v2: {image: 'shop:2', port: 8080}}\n"
    text = f"{HOSTS}podTemplate: {{spec: {{hostNetwork: true}}}}\n{versions}route: [{{to: {{v1: 90, v2: 10}}}}]\n"

    (problem,) = problems_of(tmp_path, service(text)).problems
    assert problem.path == f"{SHOP}.podTemplate.spec.hostNetwork"


def test_a_container_of_the_services_template_needs_no_image_in_the_versions() -> None:
    shop = yaml.safe_load(
        """
        hosts: [shop.example.com]
        podTemplate: {spec: {containers: [{name: agent, image: "agent:1"}]}}
        versions:
          v1: {image: "shop:1", port: 8080, podTemplate: {spec: {containers: [{name: agent, tty: true}]}}}
        """
    )
    template = load({"services": {"shop": shop}}).services["shop"].deployed["v1"].pod_template

    assert template == {"spec": {"containers": [{"name": "agent", "image": "agent:1", "tty": True}]}}


NAMES = st.sampled_from(["shop", "agent", "http", "istio-proxy", "v1", ""])
KEYS = st.sampled_from(
    ["metadata", "labels", "annotations", "spec", "containers", "initContainers", "volumes", "name", "env", "ports",
     "containerPort", "lifecycle", "readinessProbe", "volumeMounts", "mountPath", "securityContext", "resources"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9090) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=15,
)


@settings(deadline=None)
@given(own=st.dictionaries(KEYS, VALUES, max_size=3), common=st.dictionaries(KEYS, VALUES, max_size=3))
def test_no_template_ends_in_a_crash(own: dict[str, Any], common: dict[str, Any]) -> None:
    version = {"image": "shop:1", "port": 8080, "podTemplate": own}
    shop = {"hosts": ["a.example.com"], "podTemplate": common, "versions": {"v1": version}}
    try:
        loaded = load({"services": {"shop": shop}})
    except SettingsError as error:
        problems = error.problems
    else:
        problems = ()
        json.dumps(loaded.services["shop"].deployed["v1"].pod_template)
    assert all(problem.fix and problem.path for problem in problems)
