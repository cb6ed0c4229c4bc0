"""Pulumi's mock engine, which also records what a program registers, in a preview and in an update.

Of a resource, `pulumi.runtime.mocks` keeps only the URN, the id and the state, and it calls no hooks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pulumi
import pulumi_kubernetes as k8s
from pulumi.runtime import mocks, proto, rpc
from pulumi.runtime import resource as pulumi_resource
from pulumi.runtime.proto.callback_pb2 import CallbackInvokeRequest
from pulumi.runtime.proto.callback_pb2_grpc import CallbacksStub
from pulumi.runtime.proto.resource_pb2 import ResourceHookRequest, ResourceHookResponse

from kube.crd_schemas import is_istio
from tests.unit import istio_crds

PROJECT, STACK = "istio-canary", "test"

# The SDK sends the call stack with every resource. No test reads it, and it takes a sixth of a program's time.
pulumi_resource._get_stack_trace = proto.source_pb2.StackTrace


@dataclass
class Resource:
    """One registered resource as the engine saw it. `depends_on` and `parent` are URNs; `ignores` is ignoreChanges."""

    urn: str
    type: str
    name: str
    parent: str
    provider: str
    inputs: dict[str, Any]
    depends_on: tuple[str, ...]
    custom: bool
    timeouts: tuple[str, str]
    ignores: tuple[str, ...] = ()
    outputs: dict[str, Any] | None = None

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.inputs["spec"]
        return spec

    @property
    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = self.inputs["metadata"]
        return metadata


@dataclass
class Run:
    """What one run of a program registered, in order, and what it returned (outputs resolved, None if unknown)."""

    resources: list[Resource] = field(default_factory=list)
    result: Any = None

    def named(self, name: str, type_: str | None = None) -> Resource:
        """Return the one resource of this Pulumi name (and type)."""
        found = [r for r in self.resources if r.name == name and (type_ is None or r.type == type_)]
        assert len(found) == 1, f"{len(found)} resources are named {name}: {[r.urn for r in self.resources]}"
        return found[0]

    def of_type(self, type_: str) -> list[Resource]:
        """Return the resources whose type token ends so."""
        return [r for r in self.resources if r.type.endswith(type_)]

    def custom(self) -> list[Resource]:
        """Return what a provider makes, without the providers themselves."""
        return [r for r in self.resources if r.custom and not r.type.startswith("pulumi:providers:")]

    def inputs(self) -> dict[str, dict[str, Any]]:
        """Return the inputs of every resource by its URN."""
        return {r.urn: r.inputs for r in self.resources}


class _Mocks(mocks.Mocks):
    """Resources come out as they went in; what is new has no id in a preview, as in the engine."""

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise AssertionError(f"a component called the provider's function {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        if is_istio(args.inputs.get("apiVersion", "")):
            istio_crds.check(args.inputs)
        metadata = args.inputs.get("metadata", {})
        name = metadata.get("name", args.name)
        namespace = metadata.get("namespace")
        identifier = f"{namespace}/{name}" if namespace else name
        return "" if pulumi.runtime.is_dry_run() else identifier, args.inputs


class HookError(Exception):
    """A hook has failed, and with it the operation that it came before."""


class _Monitor(mocks.MockMonitor):
    def __init__(self, run: Run) -> None:
        super().__init__(_Mocks())
        self.run = run
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
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            self.run.resources.append(
                Resource(
                    urn=answer.urn,
                    type=request.type,
                    name=request.name,
                    parent=request.parent,
                    provider=request.provider or ",".join(request.providers.values()),
                    inputs=self.resources[answer.urn].state,
                    depends_on=tuple(request.dependencies),
                    custom=request.custom,
                    timeouts=(request.customTimeouts.create, request.customTimeouts.update),
                    ignores=tuple(request.ignoreChanges),
                )
            )
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the engine's name
        for resource in self.run.resources:
            if resource.urn == request.urn:
                resource.outputs = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def run_program(program: Callable[[], Any], preview: bool, run: Run | None = None) -> Run:
    """Run `program` as the engine does in a preview or in an update, and return what it registered.

    `run` is written as the program goes, so that one that fails can be looked at too.
    """
    run = Run() if run is None else run
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # what failed is raised here; that others wait for it is no news
    asyncio.set_event_loop(loop)  # Pulumi takes the thread's own, which asyncio.run takes away
    monitor = _Monitor(run)
    mocks.set_mocks(mocks=monitor.mocks, monitor=monitor, project=PROJECT, stack=STACK, preview=preview)

    def resolved() -> pulumi.Output[Any]:
        return pulumi.Output.from_input(program()).apply(lambda value: setattr(run, "result", value))

    try:
        mocks.test(resolved)()  # type: ignore[no-untyped-call]
    finally:
        loop.close()
    return run


Deploy = Callable[[Callable[[], Any]], Run]
"""Runs a program and returns what it registered."""


def in_cluster() -> pulumi.ResourceOptions:
    """Return the options with which the environment builds components: the explicit provider."""
    return pulumi.ResourceOptions(provider=k8s.Provider("cluster", context="test"))
