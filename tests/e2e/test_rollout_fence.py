"""The admission policy of components/rollout_fence.py on a real API server: who is refused, and who is not.

Who writes the routes is told apart by the field manager: Pulumi's provider with PULUMI_K8S_ENABLE_PATCH_FORCE is an
apply of its manager with force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_global_resource
from lightkube.resources.core_v1 import Namespace
from lightkube.types import PatchType

from components.rollout_fence import binding_spec, fence_name, policy_spec
from kube import kubeconfig
from kube.objects import find_object, kind_of
from rollout.observed_routes import ISTIO_API
from rollout.record import FIELD_MANAGER
from rollout.routes import BARRED_ANNOTATION, RouteRefusedError, hand_over, read_routes_in_cluster, write_http
from tests.e2e.tools import Access, Project, wait_until

OWNER, NAMESPACE, ELSEWHERE = "tests/fence", "rollout-fence", "rollout-fence-other"
PROVIDER = "pulumi-kubernetes-1a2b3c4d"
SAID = "an aborted rollout has barred version-"
TESTERS = [{"headers": {"qa": {"exact": "canary-test"}}}]
API = "admissionregistration.k8s.io/v1"
Http = list[dict[str, Any]]


def to(weight: int | None, match: Sequence[Any] = (), host: str = "website") -> dict[str, Any]:
    """A rule with `weight` percent for version-2; None: version-2 is the only destination, without a weight."""
    weights: dict[str, int | None] = {"version-2": None} if weight is None else {
        "version-1": 100 - weight, "version-2": weight,
    }  # fmt: skip
    rule: dict[str, Any] = {"match": list(match)} if match else {}
    return {
        **rule,
        "route": [
            {"destination": {"host": host, "subset": subset}, **({} if share is None else {"weight": share})}
            for subset, share in weights.items()
        ],
    }


class Fenced:
    """A namespace with VirtualServices, behind the fence."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def apply(self, http: Http, name: str = "website", namespace: str = "", manager: str = "kubectl") -> None:
        """Apply the routes with force, as whoever `manager` is."""
        body = {
            "apiVersion": ISTIO_API,
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": namespace or NAMESPACE},
            "spec": {"hosts": [f"{name}.fence.example"], "http": http},
        }
        self.client.patch(
            kind_of(ISTIO_API, "VirtualService"),
            name,
            body,
            namespace=namespace or NAMESPACE,
            patch_type=PatchType.APPLY,
            field_manager=manager,
            force=True,
        )

    def refuses(self, http: Http, **keys: Any) -> bool:
        """Whether the fence refuses the routes, with its own message."""
        try:
            self.apply(http, **keys)
        except ApiError as error:
            said = str(error)
        else:
            return False
        assert SAID in said
        assert "canary rollout status website" in said
        return True

    def rollout(self, http: Http, *barred: str, name: str = "website") -> None:
        """Write the routes as a rollout does whose record bars these versions."""
        write_http(self.client, NAMESPACE, name, http, "website-1/9", None, barred=barred)

    def begin(self, http: Http, *barred: str, name: str = "website") -> None:
        """Let the route be `http` after an abort that has barred these versions."""
        if find_object(self.client, ISTIO_API, "VirtualService", NAMESPACE, name) is None:
            self.apply(http, name)
        self.rollout(http, *barred, name=name)

    @property
    def http(self) -> Http:
        found: Any = find_object(self.client, ISTIO_API, "VirtualService", NAMESPACE, "website")
        http: Http = found["spec"]["http"]
        return http


def _is_up(fenced: Fenced) -> bool:
    """Whether the API server has seen the policy; what it lets through before is taken back."""
    refused = fenced.refuses([to(100)])
    fenced.rollout([to(0)], "version-2")
    return refused


@pytest.fixture(scope="module")
def fenced(mesh: Project) -> Iterator[Fenced]:
    with kubeconfig.client(kubeconfig.choose(Access(str(mesh.cluster.layout.kubeconfig)))) as client:
        for name in (NAMESPACE, ELSEWHERE):
            namespace: Any = Namespace.from_dict({"metadata": {"name": name}})
            client.create(namespace)
        specs = {
            "ValidatingAdmissionPolicy": policy_spec(BARRED_ANNOTATION, FIELD_MANAGER),
            "ValidatingAdmissionPolicyBinding": binding_spec(OWNER, [NAMESPACE]),
        }
        kinds = {
            kind: create_global_resource("admissionregistration.k8s.io", "v1", kind, plural)
            for kind, plural in zip(
                specs, ("validatingadmissionpolicies", "validatingadmissionpolicybindings"), strict=True
            )
        }
        for kind, spec in specs.items():
            client.create(
                kinds[kind].from_dict(
                    {"apiVersion": API, "kind": kind, "metadata": {"name": fence_name(OWNER)}, "spec": spec}
                )
            )
        made = Fenced(client)
        made.begin([to(0)], "version-2")
        wait_until(lambda: _is_up(made), "the fence", 30)
        yield made
        for kind in reversed(specs):
            client.delete(kinds[kind], fence_name(OWNER))
        for name in (NAMESPACE, ELSEWHERE):
            client.delete(Namespace, name)


@pytest.mark.parametrize("manager", ["kubectl", "argocd-controller", PROVIDER])
@pytest.mark.parametrize("weight", [1, 50, 100, None], ids=["1", "50", "100", "alone"])
def test_a_barred_version_gets_no_requests_from_anybody(fenced: Fenced, manager: str, weight: int | None) -> None:
    fenced.begin([to(0)], "version-2")
    assert fenced.refuses([to(weight)], manager=manager)
    assert fenced.http == [to(0)]


def test_nor_from_a_rollout_that_says_itself_that_the_version_is_barred(fenced: Fenced) -> None:
    fenced.begin([to(0)], "version-2")
    with pytest.raises(RouteRefusedError, match=SAID):
        fenced.rollout([to(10)], "version-2")


def test_without_a_bar_everything_passes(fenced: Fenced) -> None:
    fenced.begin([to(0)])
    for weight in (10, 100, None):
        assert not fenced.refuses([to(weight)])


def test_once_the_rollout_lifts_the_bar_the_version_gets_requests_again(fenced: Fenced) -> None:
    fenced.begin([to(0)], "version-2")
    fenced.rollout([to(10)])
    assert not fenced.refuses([to(50)])


def test_nobody_else_lifts_a_bar(fenced: Fenced) -> None:
    fenced.begin([to(0)], "version-2")
    found: Any = find_object(fenced.client, ISTIO_API, "VirtualService", NAMESPACE, "website")
    for bars in (None, "version-9"):
        patch = {"metadata": {"annotations": {BARRED_ANNOTATION: bars}}}
        with pytest.raises(ApiError, match=SAID):
            fenced.client.patch(
                kind_of(ISTIO_API, "VirtualService"),
                "website",
                patch,
                namespace=NAMESPACE,
                patch_type=PatchType.MERGE,
            )
    del found["metadata"]["annotations"]
    with pytest.raises(ApiError, match=SAID):
        fenced.client.replace(kind_of(ISTIO_API, "VirtualService").from_dict(found))


def test_an_abort_passes_and_what_was_there_before_it_comes_back_no_more(fenced: Fenced) -> None:
    fenced.begin([to(None, TESTERS), to(50)])
    fenced.rollout([to(None, TESTERS), to(0)], "version-2")
    assert fenced.refuses([to(None, TESTERS), to(50)], manager=PROVIDER)
    assert fenced.refuses([to(100, TESTERS), to(10)])


def test_a_rule_for_testers_keeps_the_version_and_its_other_keys_may_change(fenced: Fenced) -> None:
    fenced.begin([to(None, TESTERS), to(0)], "version-2")
    assert not fenced.refuses([{**to(None, TESTERS), "timeout": "3s"}, {**to(0), "timeout": "5s"}])
    assert not fenced.refuses([to(0), to(None, TESTERS)])


def test_a_rule_gives_a_barred_version_no_more_than_before(fenced: Fenced) -> None:
    fenced.begin([to(10, TESTERS), to(0)], "version-2")
    assert fenced.refuses([to(11, TESTERS), to(0)])
    assert not fenced.refuses([to(10, TESTERS), to(0)])
    assert not fenced.refuses([to(5, TESTERS), to(0)])
    assert fenced.refuses([to(5, [{"uri": {"prefix": "/"}}]), to(0)]), "another match is another rule"


def test_http_is_handed_back_to_pulumi_behind_the_fence_and_the_bar_stays(fenced: Fenced) -> None:
    fenced.apply([to(0)], manager=PROVIDER)
    fenced.begin([to(0)], "version-2")
    (route,) = read_routes_in_cluster(fenced.client, NAMESPACE, ["website"]).values()
    assert hand_over(fenced.client, route.found) is True
    assert not fenced.refuses([{**to(0), "timeout": "7s"}], manager=PROVIDER)
    assert fenced.refuses([to(10)], manager=PROVIDER)


@pytest.mark.parametrize("host", ["website", "website.{}", "website.{}.svc.cluster.local"])
@pytest.mark.parametrize("name", ["website", "website-mesh"])
def test_the_host_may_be_written_in_full(fenced: Fenced, host: str, name: str) -> None:
    fenced.begin([to(0)], "version-2", name=name)
    assert fenced.refuses([to(10, host=host.format(NAMESPACE))], name=name)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda one: one.apply([to(None)], name="other"), id="another service"),
        pytest.param(lambda one: one.apply([to(None, host="other")]), id="another host of the same subset"),
        pytest.param(lambda one: one.apply([to(None, host="website.elsewhere")]), id="the host of another namespace"),
        pytest.param(lambda one: one.apply([{"redirect": {"uri": "/"}}]), id="a rule without destinations"),
        pytest.param(lambda one: one.apply([{**to(0), "mirror": {"host": "website"}}]), id="a mirror"),
    ],
)
def test_nothing_else_is_refused(fenced: Fenced, write: Callable[[Fenced], None]) -> None:
    fenced.begin([to(0)], "version-2")
    write(fenced)


def test_a_namespace_that_the_fence_is_not_around_is_left_alone(fenced: Fenced) -> None:
    fenced.apply([to(0)], namespace=ELSEWHERE)
    write_http(fenced.client, ELSEWHERE, "website", [to(0)], "website-1/9", None, barred=["version-2"])
    fenced.apply([to(50)], namespace=ELSEWHERE)


def test_each_of_several_barred_versions_is_refused(fenced: Fenced) -> None:
    fenced.begin([to(0)], "version-0", "version-2")
    with pytest.raises(ApiError, match="has barred version-0, version-2"):
        fenced.apply([to(10)])


def test_a_route_of_many_rules_is_decided_about(fenced: Fenced) -> None:
    rules = [to(0, [{"uri": {"exact": f"/{number}"}}]) for number in range(300)]
    fenced.begin([*rules, to(0)], "version-2")
    assert fenced.refuses([*rules, to(10)])
    assert not fenced.refuses([*rules, to(None, host="other")])
