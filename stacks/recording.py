"""What a program registers, without engine, provider, cluster or credentials.

The program runs against Pulumi's mocks (Pulumi: "Unit testing Pulumi programs"), in a thread and context of its own, so
that it can run in any process, also inside another program. Resources are in the order in which the program constructs
them, so two runs record the same.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, TypeVarTuple

import pulumi
from pulumi.runtime import mocks, proto, register_stack_transformation, reset_options, rpc

from stacks.cloud_outputs import ANSWERS, OTHER_STACK, OTHER_THAN_INPUTS, OUTPUTS, STACK_REFERENCE
from stacks.cluster_facts import NOTHING_OBSERVED
from stacks.environment import Environment
from stacks.settings.model import Settings

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
PROJECT = "istio-canary"
SECRET = "[secret]"  # noqa: S105 - stands for every secret
UNKNOWN = "[unknown]"
"""Stands for what only the cluster knows, such as the id of an object in a preview."""
STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDERS = "pulumi:providers:"


@dataclass(frozen=True)
class Recorded:
    """A registered resource.

    `type` is Pulumi's type token, such as `kubernetes:apps/v1:Deployment`. `inputs` are what the provider gets: plain
    JSON values with Kubernetes' own field names; a secret is the text `[secret]`. `parent` and `depends_on` are URNs;
    `parent` is None below the stack itself. `provider` is the URN of the explicit provider, `ignores` are the paths of
    ignoreChanges, `timeouts` those of creating and updating. `outputs` are what a component registers, None before.
    """

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    parent: str | None
    depends_on: tuple[str, ...]
    is_component: bool
    provider: str = ""
    ignores: tuple[str, ...] = ()
    timeouts: tuple[str, str] = ("", "")
    outputs: dict[str, Any] | None = None

    @property
    def is_provider(self) -> bool:
        """Whether it is an explicit provider."""
        return self.type.startswith(PROVIDERS)

    @property
    def metadata(self) -> dict[str, Any]:
        """The object's metadata; raises KeyError if it has none."""
        metadata: dict[str, Any] = self.inputs["metadata"]
        return metadata

    @property
    def spec(self) -> dict[str, Any]:
        """The object's spec; raises KeyError if it has none."""
        spec: dict[str, Any] = self.inputs["spec"]
        return spec


@dataclass
class Recording:
    """The resources that a program registered, in order, and what it returned (outputs resolved, None if unknown)."""

    resources: list[Recorded] = field(default_factory=list)
    result: Any = None

    def named(self, name: str, type_: str | None = None) -> Recorded:
        """Return the one resource with this Pulumi name (and type token); raises LookupError."""
        found = [r for r in self.resources if r.name == name and (type_ is None or r.type == type_)]
        if len(found) != 1:
            known = ", ".join(sorted({resource.name for resource in self.resources})) or "none"
            raise LookupError(f"{len(found)} resources are named {name}; registered are: {known}")
        return found[0]

    def of_type(self, end: str) -> list[Recorded]:
        """Return the resources whose type token ends with `end`, such as `:Deployment`."""
        return [resource for resource in self.resources if resource.type.endswith(end)]

    def custom(self) -> list[Recorded]:
        """Return what a provider makes: neither components nor the providers themselves."""
        return [resource for resource in self.resources if not (resource.is_component or resource.is_provider)]

    def inputs(self) -> dict[str, dict[str, Any]]:
        """Return the inputs of every resource by its URN."""
        return {resource.urn: resource.inputs for resource in self.resources}


def masked(value: Any) -> Any:
    """Return what stands for a secret, whatever its value is."""
    return SECRET


def record(
    settings: Settings,
    stack: str,
    *,
    project: str = PROJECT,
    preview: bool = False,
    secret: Callable[[Any], Any] = masked,
) -> tuple[Recorded, ...]:
    """Return what the environment of these settings registers, in the program's order.

    Nothing is known of a cluster: no namespace exists, and no version gets requests yet. Needs no cluster, engine or
    credentials, and may be called as often as needed. `secret` returns what is recorded for a secret value.
    """

    def program() -> Any:
        return Environment(settings, NOTHING_OBSERVED, f"{project}/{stack}").outputs

    recorder = Recorder(secret)
    return tuple(record_program(program, stack, project=project, preview=preview, recorder=recorder).resources)


def record_program(
    program: Callable[[], Any],
    stack: str = "test",
    *,
    project: str = PROJECT,
    preview: bool = False,
    recorder: Recorder | None = None,
) -> Recording:
    """Run a program that registers resources, such as a component, and return what it registered.

    An exception of the program is raised; what it registered before is in the `recording` of `recorder`.
    """
    recorder = recorder or Recorder()
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="recording") as thread:
        thread.submit(context.run, _run, program, stack, project, preview, recorder).result()
    return recorder.recording


def _run(program: Callable[[], Any], stack: str, project: str, preview: bool, recorder: Recorder) -> None:
    recording = recorder.recording
    constructed: list[pulumi.Resource] = []

    def resolved() -> pulumi.Output[Any]:
        register_stack_transformation(lambda args: constructed.append(args.resource))
        return pulumi.Output.from_input(program()).apply(lambda value: setattr(recording, "result", value))

    loop = asyncio.SelectorEventLoop() if recorder.has_threads else _InlineLoop()
    loop.set_exception_handler(lambda *_: None)  # what failed is raised here; that others wait for it is no news
    asyncio.set_event_loop(loop)
    reset_options(project=project, stack=stack)  # the calling program's own run stays as it is
    mocks.set_mocks(
        recorder.mocks,
        project=project,
        stack=stack,
        preview=preview,
        monitor=recorder,
        logger=logging.getLogger(__name__),
    )
    try:
        mocks.test(resolved)()  # type: ignore[no-untyped-call]
        # The SDK waits for sets of outputs, so the order in which resources become ready differs from run to run.
        order = {loop.run_until_complete(made.urn.future()): index for index, made in enumerate(constructed)}
        recording.resources.sort(key=lambda resource: order[resource.urn])
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class _InlineLoop(asyncio.SelectorEventLoop):
    """Registers at once what the SDK gives to a thread, which is faster."""

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed to the one who waits
            future.set_exception(error)
        return future


class Mocks(mocks.Mocks):
    """Resources come out as they went in, with what a cloud would add; nothing may be read from a cluster."""

    def call(self, args: mocks.MockCallArgs) -> Any:
        if args.token in ANSWERS:
            return dict(ANSWERS[args.token])
        raise AssertionError(f"the program calls the provider's function {args.token}, which needs a cluster")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Return the id that the object gets, and its state; what is new has no id in a preview."""
        if args.typ == STACK_REFERENCE:
            return args.name, {"name": args.name, **OTHER_STACK}
        metadata = args.inputs.get("metadata") or {}
        name, namespace = metadata.get("name", args.name), metadata.get("namespace")
        identifier = f"{namespace}/{name}" if namespace else name
        return "" if pulumi.runtime.is_dry_run() else identifier, args.inputs


class Recorder(mocks.MockMonitor):
    """Pulumi's mock of the engine, which records.

    `secret` returns what is recorded for a secret value. With `has_threads`, every registration runs in a thread, as
    resource hooks need that call the program back.
    """

    def __init__(self, secret: Callable[[Any], Any] = masked, *, has_threads: bool = False) -> None:
        super().__init__(Mocks())
        self.recording = Recording()
        self.has_threads = has_threads
        self._secret = secret

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """Return the URN that the engine gives: the types of all parents but the stack are in it."""
        parents = parent.split("::")[2] if parent else STACK_TYPE
        qualified = type_ if parents == STACK_TYPE else f"{parents}${type_}"
        return f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{qualified}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the engine's name
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            return proto.resource_pb2.RegisterResourceResponse(urn=urn)
        inputs = plain(request.object, self._secret)
        identifier, _ = self.mocks.new_resource(
            mocks.MockResourceArgs(
                request.type, request.name, inputs, request.provider, request.importId, request.custom
            )
        )
        self.recording.resources.append(
            Recorded(
                urn=urn,
                type=request.type,
                name=request.name,
                inputs=inputs,
                parent=None if request.parent.split("::")[2:3] in ([], [STACK_TYPE]) else request.parent,
                depends_on=tuple(sorted(request.dependencies)),
                is_component=not request.custom,
                provider=_without_id(request.provider or ",".join(request.providers.values())),
                ignores=tuple(request.ignoreChanges),
                timeouts=(request.customTimeouts.create, request.customTimeouts.update),
            )
        )
        response = proto.resource_pb2.RegisterResourceResponse(urn=urn, id=identifier or "", object=request.object)
        response.object.update(OTHER_THAN_INPUTS.get(request.type, {}))
        if not pulumi.runtime.is_dry_run():
            response.object.update(OUTPUTS.get(request.type, {}))
        return response

    def ReadResource(self, request: Any) -> Any:  # noqa: N802 - the engine's name
        response = super().ReadResource(request)  # type: ignore[no-untyped-call]
        self.recording.resources.append(
            Recorded(
                urn=response.urn,
                type=request.type,
                name=request.name,
                inputs=plain(request.properties, self._secret),
                parent=None if request.parent.split("::")[2:3] in ([], [STACK_TYPE]) else request.parent,
                depends_on=tuple(sorted(request.dependencies)),
                is_component=False,
            )
        )
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the engine's name
        outputs = plain(request.outputs, self._secret)
        resources = self.recording.resources
        for index, resource in enumerate(resources):
            if resource.urn == request.urn:
                resources[index] = replace(resource, outputs=outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def _without_id(provider: str) -> str:
    """The URN in a reference to a provider, `<URN>::<id>`; a provider that is new has no id in a preview."""
    return provider.rpartition("::")[0]


def plain(properties: Mapping[str, Any], secret: Callable[[Any], Any] = masked) -> dict[str, Any]:
    """Return the properties of Pulumi's protocol as plain JSON values; for secret values, what `secret` returns.

    See "Serialization of property values" in Pulumi's developer documentation.
    """
    return {key: _plain(value, secret) for key, value in sorted(properties.items())}


def _plain(value: Any, secret: Callable[[Any], Any]) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # the protocol knows no integers
    if isinstance(value, str):
        return UNKNOWN if value == rpc.UNKNOWN else value
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Sequence):
        return [_plain(entry, secret) for entry in value]
    fields = dict(value.items())
    signature = fields.get(rpc._special_sig_key)
    if signature == rpc._special_secret_sig:
        return secret(_plain(fields.get("value"), secret))  # a state has it encrypted
    if signature == rpc._special_resource_sig:
        return fields.get("id") or fields["urn"]
    return plain(fields, secret)
