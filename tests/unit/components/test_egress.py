"""Hosts outside the mesh."""

from __future__ import annotations

import pulumi

from components.egress import Egress, EgressArgs
from tests.unit.mocks import Deploy, in_cluster
from traffic.model import ExternalService


def test_each_external_service_is_a_service_entry(deploy: Deploy) -> None:
    names = ("payments", "maps")
    externals = {name: ExternalService.model_validate({"hosts": [f"{name}.example.com"]}) for name in names}
    args = EgressArgs(namespace="istio-system", external_services=externals)

    def program() -> pulumi.Output[list[str]]:
        return Egress("egress", args, in_cluster()).service_entries

    run = deploy(program)
    found = {r.metadata["name"]: r for r in run.custom()}
    assert set(found) == set(names)
    for name, entry in found.items():
        assert (entry.inputs["kind"], entry.metadata["namespace"]) == ("ServiceEntry", "istio-system")
        assert entry.spec["hosts"] == [f"{name}.example.com"]
        assert "exportTo" not in entry.spec, "without it, the entry applies to the whole mesh"
    if run.result is not None:  # ids are unknown in a preview
        assert run.result == [f"istio-system/{name}" for name in names]
