"""Checks the Istio objects that the program registers against Istio's CRDs, which a first preview does not have yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.waiting import in_own_thread
from kube.crd_schemas import is_istio, problems_of


class RegisteredIstioObjects:
    """The Istio objects that are registered after it was created, as manifests."""

    def __init__(self) -> None:
        self._manifests: list[Mapping[str, Any]] = []
        pulumi.runtime.register_stack_transformation(self._add)

    def check(self) -> pulumi.Output[int]:
        """Return the number of objects, once all are found valid; otherwise the run fails with all problems.

        The schemas are read in a thread, while the engine is busy with the run.
        """
        return pulumi.Output.from_input(0).apply(lambda _: in_own_thread(self._require_valid))

    def _add(self, args: pulumi.ResourceTransformationArgs) -> None:
        _, _, token = args.type_.partition(":")
        api_version, _, kind = token.rpartition(":")
        spec = args.props.get("spec")
        if is_istio(api_version) and isinstance(spec, dict):
            self._manifests.append({"apiVersion": api_version, "kind": kind, "name": args.name, "spec": spec})

    def _require_valid(self) -> int:
        problems = [
            f"{manifest['kind']} {manifest['name']}: {problem}"
            for manifest in self._manifests
            for problem in problems_of({key: value for key, value in manifest.items() if key != "name"})
        ]
        if problems:
            raise pulumi.RunError("Istio's CRDs refuse objects of this stack:\n    " + "\n    ".join(problems))
        return len(self._manifests)
