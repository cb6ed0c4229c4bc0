"""An API server in memory with pods, EndpointSlices, Deployments with their scale, and autoscalers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx2

from tests.unit.rollout.api_server import ApiServer, RefusedError
from tests.unit.rollout.sample_records import NAMESPACE

PULUMI = "pulumi-kubernetes-0a1b2c3d"
SCALE = "/scale"


class Workloads(ApiServer):
    """`list_errors` are the statuses of lists by plural."""

    def __init__(self) -> None:
        super().__init__()
        self.list_errors: dict[str, int] = {}
        self.requests: list[str] = []

    def deployment(self, version: str, replicas: int, *, name: str = "", manager: str = PULUMI, **status: Any) -> None:
        """The Deployment of a version, by an `up` or by somebody else."""
        labels = {"app": "website", "version": f"website-{version}"}
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name or f"website-{version}", "namespace": NAMESPACE},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": []}},
            },
        }
        self.apply("deployments", body, manager)
        if status:
            self.objects["deployments", NAMESPACE, name or f"website-{version}"]["status"] = status

    def autoscaler(
        self, version: str, least: int | None, most: int, *, name: str = "", annotations: Any = None
    ) -> None:
        """The autoscaler of a version, by an `up`."""
        minimum = {} if least is None else {"minReplicas": least}
        body = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": name or f"website-{version}",
                "namespace": NAMESPACE,
                "annotations": annotations or {},
            },
            "spec": {
                **minimum,
                "maxReplicas": most,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"website-{version}"},
            },
        }
        self.apply("horizontalpodautoscalers", body, PULUMI)

    def pods(self, version: str, ready: int, unready: int = 0, *, waiting: str = "ImagePullBackOff") -> None:
        """Pods of a version, in place of those it had, and the service's EndpointSlices."""
        prefix = f"website-{version}-"
        for key in [key for key in self.objects if key[0] == "pods" and key[2].startswith(prefix)]:
            del self.objects[key]
        for number in range(ready + unready):
            self._pod(f"{prefix}{number}", version, number < ready, waiting)
        self._endpoint_slices()

    def terminate(self, name: str) -> None:
        """Mark a pod as terminating; its endpoint may still be called ready for a moment."""
        self.objects["pods", NAMESPACE, name]["metadata"]["deletionTimestamp"] = "2026-01-05T10:00:00Z"

    def made_anew(self, name: str, version: str) -> None:
        """Put another pod of the same name, as a StatefulSet does, in the place of one."""
        self._pod(name, version, True, "")
        self.objects["pods", NAMESPACE, name]["metadata"]["uid"] += "-2"
        self._endpoint_slices()

    def endpoints_again(self) -> None:
        """Put the EndpointSlices right after pods were changed."""
        self._endpoint_slices()

    def _pod(self, name: str, version: str, ready: bool, waiting: str) -> None:
        status = {"name": "website", "ready": ready, "restartCount": 0, "image": "", "imageID": ""}
        state = {"running": {}} if ready else {"waiting": {"reason": waiting}}
        self.objects["pods", NAMESPACE, name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": f"uid-of-{name}",
                "labels": {"app": "website", "version": f"website-{version}"},
            },
            "spec": {"containers": [{"name": "website"}]},
            "status": {
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "containerStatuses": [{**status, "state": state}],
            },
        }

    def _endpoint_slices(self) -> None:
        """One for IPv4 and one for IPv6, as in a cluster with both."""
        pods = [item for (plural, _, _), item in self.objects.items() if plural == "pods"]
        for family in ("IPv4", "IPv6"):
            self.objects["endpointslices", NAMESPACE, f"website-{family.lower()}"] = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"website-{family.lower()}",
                    "namespace": NAMESPACE,
                    "labels": {"kubernetes.io/service-name": "website"},
                },
                "addressType": family,
                "endpoints": [
                    {
                        "addresses": ["x"],
                        "conditions": {"ready": item["status"]["conditions"][0]["status"] == "True"},
                        "targetRef": {"kind": "Pod", "name": item["metadata"]["name"], "uid": item["metadata"]["uid"]},
                    }
                    for item in pods
                ],
            }

    def _serve(self, request: httpx2.Request) -> Any:
        path = request.url.path
        self.requests.append(f"{request.method} {path.rpartition('/namespaces/')[2]}")
        code = self.list_errors.get(path.rpartition("/")[2], 0)
        if request.method == "GET" and code:
            raise RefusedError(code, "Forbidden", "forbidden")
        return self._scaled(request) if path.endswith(SCALE) else super()._serve(request)

    def _scaled(self, request: httpx2.Request) -> Any:
        """The scale of a Deployment: who applies it owns `spec.replicas` (Kubernetes: "Server-Side Apply")."""
        body: Mapping[str, Any] = json.loads(request.content)
        if self.before is not None:
            faster, self.before = self.before, None
            faster()
        key = ("deployments", NAMESPACE, str(body["metadata"]["name"]))
        self._found(key)
        of_deployment = {**body, "apiVersion": "apps/v1", "kind": "Deployment"}
        manager, force = request.url.params["fieldManager"], request.url.params.get("force") == "true"
        written = self._apply(key, of_deployment, manager, force)
        metadata = {name: written["metadata"][name] for name in ("name", "namespace", "resourceVersion")}
        return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": written["spec"]}
