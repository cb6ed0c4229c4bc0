"""What is valid but may not be intended is a warning, and does not stop a change."""

from __future__ import annotations

import json
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime import set_all_config

from canary.explain.access import is_caller_allowed
from stacks.program import settings_of_stack
from stacks.settings.loading import load_stack, warnings
from stacks.settings.stack_file import read_stack_file
from tests.unit.problems import (
    HERE,
    HOSTS,
    ONE,
    ROUTE,
    SHOP,
    Case,
    assert_is_warned_of,
    config,
    doing,
    routed,
    service,
    warnings_of,
)
from traffic.simulate import Caller, Request

QA = "{headers: {qa: {exact: canary-test}}}"
ADMIN = "{uri: {prefix: /admin}}"
FIRST = f"{ROUTE}[0]"
REDIRECTS = "{port: 80, hosts: ['*.example.com'], tls: {httpsRedirect: true}}"

CASES = [
    Case("rules that overlap",
         routed(f"- {{match: [{QA}], to: v2}}\n- {{match: [{ADMIN}], to: v1}} {HERE}\n- to: {{v1: 50, v2: 50}}\n"),
         f"{ROUTE}[1]", ("route[0] also matches some of this rule's requests",
                         "GET /admin with qa: canary-test", "none needed if intended")),
    Case("rules that compare the same header",
         routed("- {match: [{headers: {agent: {regex: '.*Firefox.*'}}}], to: v2}\n"
                f"- {{match: [{{headers: {{agent: {{regex: '.*Mobile.*'}}}}}}], to: v1}} {HERE}\n- to: v1\n"),
         f"{ROUTE}[1]", ("with agent: ", "Firefox", "Mobile")),
    Case("a cohort before many paths is reported once",
         routed(f"- {{match: [{QA}], to: v2}}\n- {{match: [{ADMIN}], to: v1}} {HERE}\n"
                "- {match: [{uri: {prefix: /shop}}], to: v1}\n- {match: [{uri: {prefix: /x}}], to: v1}\n- to: v1\n"),
         f"{ROUTE}[1]", ("for example GET /admin",)),
    Case("a delay as long as the timeout", doing("timeout: 2s, fault: {delay: {fixedDelay: 3s}}"),
         f"{FIRST}.fault.delay.fixedDelay", ("does not count towards the timeout of 2s",)),
    Case("a fault at 0 percent", doing("fault: {abort: {httpStatus: 503, percentage: {value: 0}}}"),
         f"{FIRST}.fault.abort.percentage", ("no effect",)),
    Case("a rewrite that leaves two slashes",
         routed(f"- {{match: [{{uri: {{prefix: /shop}}}}], to: v2, rewrite: {{uri: /}}}} {HERE}\n- to: v1\n"),
         f"{FIRST}.rewrite.uri", ("/shop/x would become //x", "{prefix: /shop/}")),
    Case("a rewrite that joins words",
         routed(f"- {{to: {{v1: 50, v2: 50}}, rewrite: {{uri: /new}}}} {HERE}\n"),
         f"{FIRST}.rewrite.uri", ("/x would become /newx", "write uri: /new/")),
    Case("a service that nobody may call",
         config(f"mesh: {{denyByDefault: true}}\nservices:\n  shop: {HERE}\n    {HOSTS}    {ONE}"), SHOP,
         ("get 403, because of istio-canary:mesh.denyByDefault",)),
    Case("a service in a namespace with denyByDefault",
         service(f"{HOSTS}{ONE}").replace("shop:\n", f"shop: {HERE}\n", 1)
         + "  istio-canary:namespaces: {shop: {denyByDefault: true}}\n", SHOP,
         ("because of istio-canary:namespaces.shop.denyByDefault",)),
    Case("keys over plain HTTP",
         service(f"{HOSTS}{ONE}jwt:\n  - issuer: a\n    jwksUri: http://login.example.com/keys {HERE}\n"),
         f"{SHOP}.jwt[0].jwksUri", ("over plain HTTP", "write https://login.example.com/keys")),
    Case("a switch to a version with fewer pods",
         service(f"{HOSTS}strategy: blueGreen\nversions:\n  v1: {{image: a, port: 80, replicas: 4}}\n"
                 f"  v2: {{image: a, port: 80, replicas: 1}} {HERE}\n"),
         f"{SHOP}.versions.v2.replicas", ("its 1 pod the requests of the 4 of v1", "remove replicas")),
    Case("a percentage of what no container requests",
         service(f"{HOSTS}versions: {{v1: {{image: a, port: 80, autoscaling: {{maxReplicas: 5, cpu: 70}}}}}} {HERE}\n"),
         f"{SHOP}.versions.v1.autoscaling.cpu", ("shop requests no cpu", "resources.requests.cpu: 100m")),
    Case("a percentage of what a further container does not request",
         service(f"{HOSTS}podTemplate: {{spec: {{containers: [{{name: agent, image: a}}]}}}}\n"
                 "versions: {v1: {image: a, port: 80, resources: {requests: {memory: 64Mi}}, "
                 f"autoscaling: {{maxReplicas: 5, memory: 70}}}}}} {HERE}\n"),
         f"{SHOP}.versions.v1.autoscaling.memory", ("agent requests no memory", "to agent")),
    Case("a switch to a version that its autoscaler keeps small",
         service(f"{HOSTS}strategy: blueGreen\nversions:\n"
                 "  v1: {image: a, port: 80, resources: {limits: {cpu: 1}}, autoscaling: {maxReplicas: 9, cpu: 70}}\n"
                 "  v2: {image: a, port: 80, resources: {limits: {cpu: 1}}, "
                 f"autoscaling: {{minReplicas: 2, maxReplicas: 9, cpu: 70}}}} {HERE}\n"),
         f"{SHOP}.versions.v2.autoscaling.minReplicas", ("its 2 pods all requests at once", "up to 9 pods of v1")),
    Case("an active version with fewer pods",
         service(f"{HOSTS}strategy: {{blueGreen: {{active: v2}}}} {HERE}\n"
                 "versions: {v1: {image: a, port: 80, replicas: 4}, v2: {image: a, port: 80, replicas: 1}}\n"),
         f"{SHOP}.strategy.blueGreen.active",
         ("v2 has 1 pod, which gets all requests; v1 has 4", f"write {SHOP}.versions.v2.replicas: 4")),
    Case("limits of ramped that take all pods",
         service(f"{HOSTS}strategy: {{ramped: {{maxSurge: 0, maxUnavailable: 100%}}}} {HERE}\n"
                 "versions: {v1: {image: a, port: 80, replicas: 2}}\n"),
         f"{SHOP}.strategy.ramped.maxUnavailable",
         ("all 2 pods of v1", "given:   \"100%\"", "write maxUnavailable: 1")),
    Case("limits that Kubernetes rounds to one pod",
         service(f"{HOSTS}strategy: {{ramped: {{maxSurge: 0, maxUnavailable: 50%}}}} {HERE}\n"
                 "versions: {v1: {image: a, port: 80}}\n"),
         f"{SHOP}.strategy.ramped.maxUnavailable", ("the only pod of v1", "write maxSurge: 1 and maxUnavailable: 0")),
    Case("the same limits in two versions are one warning",
         service(f"{HOSTS}strategy: {{ramped: {{maxUnavailable: 1}}}} {HERE}\n"
                 "versions: {v1: {image: a, port: 80}, v2: {image: a, port: 80}}\nroute: [{to: {v1: 50, v2: 50}}]\n"),
         f"{SHOP}.strategy.ramped.maxUnavailable", ("the only pod of v1",)),
    Case("two rules with the same name",
         routed("- {name: a, match: [{uri: {exact: /x}}], to: v2}\n- name: b\n  match: [{uri: {exact: /y}}]\n  to: v1\n"
                f"- name: a {HERE}\n  to: v2\n"),
         f"{ROUTE}[2].name", ("route[0] has the same name", "another name")),
    Case("the IngressClass of another controller",
         service(f"ingressClassName: nginx {HERE}\n{HOSTS}{ONE}"), f"{SHOP}.ingressClassName",
         ("nginx may be the IngressClass of another controller", "past Istio's gateway", "write istio")),
    Case("an IngressClass in a mesh of others",
         service(f"ingressClassName: ours {HERE}\n{HOSTS}{ONE}") + "  istio-canary:mesh: {install: false}\n",
         f"{SHOP}.ingressClassName", ("mesh.install is false, so none is made", "kubectl get ingressclass ours")),
    Case("an identity that no service has",
         service(f"gateways: [mesh]\n{ONE}authorization:\n  allow:\n"
                 f"    - principals: [cluster.local/ns/shop/sa/cart] {HERE}\n"),
         f"{SHOP}.authorization.allow[0].principals[0]",
         ("no service of the stack has the identity cluster.local/ns/shop/sa/cart", "shop has no service cart")),
    Case("a caller that is moved",
         config(f"samples: [cloud-native-starter]\nservices:\n  web-api: {{namespace: elsewhere}} {HERE}\n"),
         "istio-canary:services.web-api.namespace",
         ("web-api is in elsewhere", "services.articles.authorization.allow and istio-canary:services.authors",
          "put web-api back into starter, or write cluster.local/ns/elsewhere/sa/web-api")),
    Case("a caller that is removed",
         config(f"samples: [cloud-native-starter]\nservices:\n  web-api: null {HERE}\n"),
         "istio-canary:services.web-api", ("starter has no service web-api", "fix:     remove it; none")),
    Case("an update that may take all pods",
         service(f"{HOSTS}strategy: {{ramped: {{maxUnavailable: 50%}}}}\n"
                 f"versions: {{v1: {{image: a, port: 80, replicas: 2}},"
                 f" v2: {{image: a, port: 80, strategy: {{maxUnavailable: 1}}}}}} {HERE}\n"
                 f"route: [{{to: {{v1: 50, v2: 50}}}}]\n"),
         f"{SHOP}.versions.v2.strategy.maxUnavailable", ("may delete the only pod of v2 before new ones are ready",)),
    Case("a redirect to HTTPS without an HTTPS port",
         config(f"gateways:\n  public:\n    servers: [{REDIRECTS}] {HERE}"),
         "istio-canary:gateways.public.servers[0].tls.httpsRedirect", ("no server speaks HTTPS at port 443",)),
]  # fmt: skip

INTENDED = {
    "rules that exclude each other": routed(
        f"- {{match: [{QA}], to: v2}}\n"
        "- {match: [{uri: {prefix: /admin}, withoutHeaders: {qa: {exact: canary-test}}}], to: v1}\n- to: v1\n"
    ),
    "an exception before its rule": routed(
        "- {match: [{uri: {exact: /admin/new}}], to: v2}\n- {match: [{uri: {prefix: /admin}}], to: v1}\n- to: v2\n"
    ),
    "rules that lead to the same version": routed(
        f"- {{match: [{QA}], to: v2}}\n- {{match: [{ADMIN}], to: v2}}\n- to: v1\n"
    ),
    "a rewrite from slash to slash": routed(
        "- {match: [{uri: {prefix: /shop/}}, {uri: {exact: /shop}}], to: v2, rewrite: {uri: /}}\n- to: v1\n"
    ),
    "an identity outside the stack, one of many, and one of a service": service(
        f"{HOSTS}{ONE}authorization: {{allow: [{{principals: [cluster.local/ns/other/sa/a, '*/sa/b', "
        "cluster.local/ns/shop/sa/shop]}]}\n"
    ),
    "limits of a version over those of ramped": service(
        f"{HOSTS}strategy: {{ramped: {{maxSurge: 0}}}}\n"
        "versions: {v1: {image: a, port: 80, replicas: 2, strategy: {maxUnavailable: 1}}}\n"
    ),
    "a class of Istio's own": service(f"ingressClassName: internal\n{HOSTS}{ONE}"),
    "a service with an allowance": config(
        f"mesh: {{denyByDefault: true}}\nservices:\n  shop:\n    {HOSTS}    {ONE}    authorization: {{allow: [{{}}]}}"
    ),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_warning_is_reported_with_its_line_and_path(case: Case, tmp_path: Path) -> None:
    assert_is_warned_of(case, tmp_path)


@pytest.mark.parametrize("name", INTENDED)
def test_what_is_clearly_intended_is_not_a_warning(name: str, tmp_path: Path) -> None:
    assert warnings_of(tmp_path, INTENDED[name]) == ()


def test_a_warning_about_a_sample_names_the_sample(tmp_path: Path) -> None:
    text = "config:\n  istio-canary:samples: [website]\n  istio-canary:mesh: {denyByDefault: true}\n"
    (warning,) = warnings_of(tmp_path, text)

    assert warning.place == "from sample website"


def test_the_engine_gets_the_warnings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logged: list[str] = []
    (tmp_path / "Pulumi.dev.yaml").write_text(CASES[0].text)
    values = read_stack_file(tmp_path / "Pulumi.dev.yaml").values
    monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
    monkeypatch.setattr(pulumi.log, "warn", logged.append)
    set_all_config({f"istio-canary:{key}": json.dumps(value) for key, value in values.items()})

    settings_of_stack(tmp_path)

    assert len(logged) == 1, "`pulumi up` and `canary up` show the program's warnings"
    assert logged[0].startswith("Pulumi.dev.yaml:10: ")


def test_an_identity_is_that_of_the_service_account_that_the_pods_have(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    allowed = "authorization: {allow: [{principals: [cluster.local/ns/shop/sa/bot]}]}\n"
    path.write_text(service(f"gateways: [mesh]\n{ONE}serviceAccount: {{name: bot}}\n{allowed}"))
    stack = load_stack(path)
    caller = Request(authority="shop.shop", port=80, caller=Caller("shop", {"app": "shop"}))

    assert list(warnings(stack.settings, stack.source)) == []
    assert is_caller_allowed(stack.settings, "shop", caller)
