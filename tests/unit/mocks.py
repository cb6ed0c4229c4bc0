"""Programs run as Pulumi's engine does in a preview and in an update, on the recorder of the project.

Beyond `stacks.recording`, hooks run, Istio's objects are checked against their CRDs, and secrets are recorded as
Pulumi's protocol has them, so that a test can see both the mark and the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
import pulumi
import pulumi_kubernetes as k8s
from pulumi.runtime import MockResourceArgs, proto, rpc
from pulumi.runtime import resource as pulumi_resource
from pulumi.runtime.proto.callback_pb2 import CallbackInvokeRequest
from pulumi.runtime.proto.callback_pb2_grpc import CallbacksStub
from pulumi.runtime.proto.resource_pb2 import ResourceHookRequest, ResourceHookResponse

from kube.crd_schemas import is_istio
from stacks.recording import Mocks, Recorder, Recording, record_program
from tests.unit import istio_crds

PROJECT, STACK = "istio-canary", "test"
Run: TypeAlias = Recording

# The SDK sends the call stack with every resource. No test reads it, and it takes a sixth of a program's time.
pulumi_resource._get_stack_trace = proto.source_pb2.StackTrace


class HookError(Exception):
    """A hook has failed, and with it the operation that it came before."""


def _marked(value: Any) -> dict[str, Any]:
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}


class _CheckingMocks(Mocks):
    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        if is_istio(args.inputs.get("apiVersion", "")):
            istio_crds.check(args.inputs)
        return super().new_resource(args)


class _Engine(Recorder):
    def __init__(self, recording: Run, preview: bool) -> None:
        super().__init__(_marked, has_threads=not preview)
        self.mocks = _CheckingMocks()
        self.recording = recording
        self._hooks: dict[str, Any] = {}

    def RegisterResourceHook(self, request: Any) -> Any:  # noqa: N802 - the engine's name
        self._hooks[request.name] = request.callback
        return super().RegisterResourceHook(request)  # type: ignore[no-untyped-call]

    def _run_hook(self, name: str) -> None:
        """Call the program back as the engine does, from another thread than the program's."""
        with grpc.insecure_channel(self._hooks[name].target) as channel:
            invoked = CallbacksStub(channel).Invoke(
                CallbackInvokeRequest(token=self._hooks[name].token, request=ResourceHookRequest().SerializeToString())
            )
        error = ResourceHookResponse.FromString(invoked.response).error
        if error:
            raise HookError(f'before hook "{name}" failed: {error}')

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the engine's name
        for hook in () if pulumi.runtime.is_dry_run() else request.hooks.before_update:
            self._run_hook(hook)
        return super().RegisterResource(request)


def run_program(program: Callable[[], Any], preview: bool, run: Run | None = None) -> Run:
    """Run `program` as the engine does in a preview or in an update, and return what it registered.

    `run` is written as the program goes, so that one that fails can be looked at too.
    """
    engine = _Engine(Run() if run is None else run, preview)
    return record_program(program, STACK, project=PROJECT, preview=preview, recorder=engine)


Deploy = Callable[[Callable[[], Any]], Run]
"""Runs a program and returns what it registered."""


def in_cluster() -> pulumi.ResourceOptions:
    """Return the options with which the environment builds components: the explicit provider."""
    return pulumi.ResourceOptions(provider=k8s.Provider("cluster", context="test"))
