"""Who owns spec.http of a VirtualService when a rollout and Pulumi's provider write it in turn, on a real API server.

Each test begins with a route that sends everything to version-1 and belongs to Pulumi alone. "The program" is the
stack's program with the weights of its file; "the rollout" writes as rollout/routes.py does. Repeat these for every
new version of the provider: that a stale `up` is refused rests on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.types import PatchType

from kube import kubeconfig
from kube.conflicts import ConflictError
from kube.objects import kind_of
from rollout.decision import PULUMI
from rollout.observed_routes import ISTIO_API
from rollout.record import FIELD_MANAGER
from rollout.routes import (
    RouteInCluster,
    VirtualServiceGoneError,
    hand_over,
    owners_of_http,
    read_routes_in_cluster,
    write_http,
)
from stacks.settings.loading import load_stack
from tests.e2e.tools import CHECKOUT, Access, Completed, Project, bodies, service, wait_until
from traffic.render import virtual_services

pytestmark = pytest.mark.long  # test_rollout_up has the same table with rollouts

STACK, NAME, NAMESPACE, HOST = "owned", "owned", "owned-by-both", "owned.example"
CONFLICT = "conflict"
"""What the provider says for the API server's 409: `Server-Side Apply field conflict detected`."""


@dataclass
class Route:
    """The VirtualService, and who may write it: the program of the stack's file, the rollout, or kubectl."""

    project: Project
    client: Client
    decisions: int = field(default=0)

    def file(self, weight: int, **rule: Any) -> list[dict[str, Any]]:
        """Write `weight` percent for version-2 into the stack's file, and return http as the program renders it."""
        route = [{"to": {"version-1": 100 - weight, "version-2": weight}, **rule}]
        config = self.project.service_config(service(NAME, host=HOST, namespace=NAMESPACE, route=route))
        settings = load_stack(self.project.write_stack(STACK, config)).settings
        header = config.get("istio-canary:versionHeader")
        specs = virtual_services(settings.services, NAME, gateway_namespace="istio-ingress", version_header=header)
        http: list[dict[str, Any]] = specs[NAME]["http"]
        return http

    def program(self, weight: int, command: str = "up", *, succeeds: bool = True, **rule: Any) -> Completed:
        """Run plain `pulumi preview` or `pulumi up` with `weight` percent for version-2."""
        self.file(weight, **rule)
        return self.pulumi(command, succeeds=succeeds)

    def pulumi(self, command: str, *, succeeds: bool = True) -> Completed:
        words = [command, "--stack", STACK]
        return self.project.pulumi(
            *words, *(["--yes", "--skip-preview"] if command != "preview" else []), succeeds=succeeds
        )

    def rollout(self, weight: int, resource_version: str | None = None, uid: str | None = None) -> str:
        """Write a step; return the resourceVersion."""
        self.decisions += 1
        annotation = f"{NAME}-1/{self.decisions}"
        return write_http(self.client, NAMESPACE, NAME, self.file(weight), annotation, resource_version, uid)

    def hand_over(self) -> bool:
        return hand_over(self.client, self.live.found)

    def edit(self, weight: int) -> None:
        """`kubectl edit`: its manager is named after the command."""
        found = deepcopy(dict(self.live.found))
        found["spec"]["http"] = self.file(weight)
        item: Any = kind_of(ISTIO_API, "VirtualService").from_dict(found)
        self.client.replace(item, field_manager="kubectl-edit")

    @property
    def live(self) -> RouteInCluster:
        return read_routes_in_cluster(self.client, NAMESPACE, [NAME])[NAME]

    @property
    def owners(self) -> set[str]:
        """The owners of http; Pulumi's without its random end."""
        found = owners_of_http(self.live.found)
        return {PULUMI if owner.startswith(PULUMI) else owner for owner in found}

    def require_weight(self, weight: int) -> None:
        assert list(self.live.http) == self.file(weight)


@pytest.fixture(scope="module")
def stack(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Route]:
    """A service in the existing mesh, by an `up`."""
    project = Project.create(tmp_path_factory.mktemp("owned"), mesh.cluster)
    (project.folder / ".venv").symlink_to(CHECKOUT / ".venv")  # which the language host finds through Pulumi.yaml
    access = Access(str(mesh.cluster.layout.kubeconfig))
    with kubeconfig.client(kubeconfig.choose(access)) as client:
        route = Route(project, client)
        route.file(0)
        project.pulumi("stack", "init", STACK)
        route.program(0)
        yield route
        route.rollout(0)
        route.hand_over()
        destroyed = project.canary("destroy", "--stack", STACK, "--yes")
        assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr


@pytest.fixture
def route(stack: Route) -> Route:
    """The route as an `up` leaves it: everything to version-1, owned by Pulumi alone."""
    stack.rollout(0)  # takes http from whoever has it
    stack.hand_over()
    stack.program(0)
    assert stack.owners == {PULUMI}
    stack.require_weight(0)
    return stack


def unchanged(done: Completed) -> bool:
    """Whether a preview or an `up` has nothing to change."""
    return not any(f" to {verb}" in done.stdout for verb in ("create", "update", "delete", "replace")) and not any(
        f" {verb}" in done.stdout.partition("Resources:")[2] for verb in ("created", "updated", "deleted", "replaced")
    )


def test_a_step_takes_http_and_leaves_hosts_and_gateways_to_pulumi(route: Route) -> None:
    route.rollout(10)
    assert route.owners == {FIELD_MANAGER}
    owned = {one["manager"]: one["fieldsV1"] for one in route.live.found["metadata"]["managedFields"]}
    (pulumi,) = (fields for manager, fields in owned.items() if manager.startswith(PULUMI))
    assert set(pulumi["f:spec"]) == {"f:hosts", "f:gateways"}
    route.require_weight(10)


def test_a_program_that_renders_the_step_passes_and_owns_http_too(route: Route) -> None:
    route.rollout(10)
    generation = route.live.found["metadata"]["generation"]

    assert "1 to update" in route.program(10, "preview").stdout
    assert "1 updated" in route.program(10).stdout
    assert route.owners == {FIELD_MANAGER, PULUMI}
    assert route.live.found["metadata"]["generation"] == generation, "istiod must not push again"
    assert unchanged(route.program(10))


def test_the_next_step_takes_http_again(route: Route) -> None:
    route.rollout(10)
    route.program(10)
    route.rollout(50)
    assert route.owners == {FIELD_MANAGER}
    route.require_weight(50)


def test_a_program_that_says_what_its_checkpoint_says_writes_nothing(route: Route) -> None:
    route.rollout(10)
    route.program(10)
    version = route.rollout(50)

    assert unchanged(route.program(10, "preview"))
    assert unchanged(route.program(10))
    assert route.live.resource_version == version
    route.require_weight(50)


@pytest.mark.parametrize(
    ("weight", "rule"),
    [pytest.param(95, {}, id="another weight"), pytest.param(50, {"timeout": "7s"}, id="the step and a timeout")],
)
@pytest.mark.parametrize("command", ["preview", "up"])
def test_a_program_that_says_something_else_is_refused(
    route: Route, command: str, weight: int, rule: dict[str, Any]
) -> None:
    version = route.rollout(50)
    done = route.program(weight, command, succeeds=False, **rule)

    said = done.stdout + done.stderr
    assert CONFLICT in said.lower(), said
    assert FIELD_MANAGER in said, said
    assert route.live.resource_version == version
    route.require_weight(50)


def test_after_a_refresh_the_right_step_is_no_change(route: Route) -> None:
    route.rollout(10)
    route.program(10)
    route.rollout(50)
    route.pulumi("refresh")
    done = route.program(50, "preview")
    assert unchanged(done), done.stdout


def test_after_a_refresh_from_one_destination_to_two_the_right_step_passes(route: Route) -> None:
    """The provider keeps as many destinations in its checkpoint as the program had, so it shows an update."""
    route.rollout(50)
    generation = route.live.found["metadata"]["generation"]
    route.pulumi("refresh")
    assert "1 to update" in route.program(50, "preview").stdout
    route.program(50)
    assert route.live.found["metadata"]["generation"] == generation


def test_a_write_of_the_rollout_without_force_would_be_refused(route: Route) -> None:
    body = {
        "apiVersion": ISTIO_API,
        "kind": "VirtualService",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"http": route.file(10)},
    }
    resource = kind_of(ISTIO_API, "VirtualService")
    with pytest.raises(ApiError, match=PULUMI) as error:
        route.client.patch(
            resource, NAME, body, namespace=NAMESPACE, patch_type=PatchType.APPLY, field_manager=FIELD_MANAGER
        )
    assert error.value.response.status_code == 409


def test_an_apply_without_http_would_take_all_routes_away(route: Route) -> None:
    """The outage that handing over avoids. It passes where Istio's webhook does not answer, which says no here."""
    route.rollout(50)
    body = {"apiVersion": ISTIO_API, "kind": "VirtualService", "metadata": {"name": NAME, "namespace": NAMESPACE}}
    with pytest.raises(ApiError, match="http, tcp or tls must be provided"):
        route.client.patch(
            kind_of(ISTIO_API, "VirtualService"),
            NAME,
            body,
            namespace=NAMESPACE,
            patch_type=PatchType.APPLY,
            field_manager=FIELD_MANAGER,
            force=True,
        )
    route.require_weight(50)


def test_http_that_was_handed_over_is_changed_by_any_program(route: Route) -> None:
    route.rollout(50)
    spec = route.live.found["spec"]
    assert route.hand_over() is True
    assert route.owners == {PULUMI}
    assert route.live.found["spec"] == spec
    assert route.hand_over() is False

    route.program(95)
    route.require_weight(95)


def test_a_handing_over_by_an_object_that_was_written_since_is_refused(route: Route) -> None:
    route.rollout(50)
    read = route.live.found
    route.rollout(0)
    with pytest.raises(ConflictError):
        hand_over(route.client, read)
    assert route.owners == {FIELD_MANAGER}


def test_http_that_is_both_s_is_pulumis_alone_after_the_handing_over(route: Route) -> None:
    route.rollout(10)
    route.program(10)
    assert route.hand_over() is True
    assert route.owners == {PULUMI}
    assert unchanged(route.program(10))


def test_an_abort_after_the_handing_over_stands_against_a_stale_program(route: Route) -> None:
    route.rollout(50)
    route.hand_over()
    route.rollout(0)
    route.program(95, succeeds=False)
    assert route.owners == {FIELD_MANAGER}
    route.require_weight(0)


def test_an_edit_takes_http_until_the_programs_next_up_or_an_abort(route: Route) -> None:
    """The provider takes over what managers own whose name begins with kubectl, though only when it writes."""
    route.rollout(50)
    route.edit(20)
    assert route.owners == {"kubectl-edit"}
    assert route.hand_over() is False

    said = route.program(50, "preview", succeeds=False)
    assert "kubectl-edit" in said.stdout + said.stderr
    route.program(50)
    assert route.owners == {PULUMI}

    route.edit(20)
    route.rollout(0)
    assert route.owners == {FIELD_MANAGER}
    route.require_weight(0)


@pytest.mark.parametrize("precondition", [True, False], ids=["forward", "abort"])
def test_a_virtual_service_that_is_gone_is_not_created_without_hosts(route: Route, precondition: bool) -> None:
    read = route.live
    version = read.resource_version if precondition else None
    http = route.file(10)
    with pytest.raises(VirtualServiceGoneError):
        write_http(route.client, NAMESPACE, f"{NAME}-gone", http, "owned-1/1", version, read.uid)
    assert read_routes_in_cluster(route.client, NAMESPACE, [f"{NAME}-gone"]) == {}


def test_a_virtual_service_with_another_uid_is_not_written(route: Route) -> None:
    with pytest.raises(VirtualServiceGoneError, match="created again"):
        route.rollout(10, uid="00000000-0000-4000-8000-000000000000")
    route.require_weight(0)


def sleeper(route: Route) -> Callable[[], str]:
    """A holder that has read the route and written its record, and sleeps before the route."""
    read = route.live.resource_version
    return lambda: route.rollout(100, read)


def test_an_abort_to_weights_that_stand_already_stops_a_holder_that_slept(route: Route) -> None:
    route.rollout(0)
    wakes = sleeper(route)
    route.rollout(0)
    with pytest.raises(ConflictError):
        wakes()
    route.require_weight(0)


def test_a_step_reaches_the_gateway_and_an_abort_takes_it_back(route: Route) -> None:
    url = route.project.cluster.layout.gateway_url
    route.rollout(50)
    route.program(50)
    both = {"version-1", "version-2"}
    wait_until(lambda: set(bodies(url, 40, host=HOST)) == both, "both versions at the gateway", 30)
    route.rollout(0)
    wait_until(lambda: set(bodies(url, 40, host=HOST)) == {"version-1"}, "the way back at the gateway", 10)
