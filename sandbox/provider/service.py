"""The gRPC service that the engine talks to: Pulumi's ResourceProvider protocol (proto/pulumi/provider.proto)."""

# ruff: noqa: N802 - the methods' names are the protocol's

from __future__ import annotations

import functools
import json
import threading
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from sandbox.provider import compare, crud, release, settings, values
from sandbox.provider.api import ApiError, UnreachableError
from sandbox.provider.cluster import Cluster
from sandbox.provider.diff import Change
from sandbox.provider.engine import WARNING, Engine
from sandbox.provider.invoke import invoke
from sandbox.provider.kinds import NoSuchKindError, UnknownTypeError, kind_of_type, name_of_urn, type_of_urn
from sandbox.provider.naming import Autonaming, NamingError
from sandbox.provider.outcome import Checked, InitFailedError, Outcome, ResourceError
from sandbox.provider.wait_for import WaitForError

VERSION = "4.34.2"
OFFICIAL = "the official plugin has it: pulumi plugin install resource kubernetes"
_REFUSED = (ResourceError, ApiError, UnreachableError, NoSuchKindError, UnknownTypeError)
_MISTAKES = (values.PropertyError, settings.SettingsError, NamingError, WaitForError)

Request = TypeVar("Request")
Response = TypeVar("Response")
Context = grpc.ServicerContext


def plugin_version() -> str:
    """Return the version of the installed SDK, which asks for a plugin of the same."""
    spec = find_spec("pulumi_kubernetes")
    for folder in spec.submodule_search_locations or [] if spec else []:
        file = Path(folder) / "pulumi-plugin.json"
        if file.is_file():
            return str(json.loads(file.read_text()).get("version", VERSION))
    return VERSION


def _answers(
    method: Callable[[Provider, Request, Context], Response],
) -> Callable[[Provider, Request, Context], Response]:
    """Turn the exceptions of an operation into gRPC statuses; a fault of our own comes with its traceback."""

    @functools.wraps(method)
    def wrapped(self: Provider, request: Request, context: Context) -> Response:
        try:
            return method(self, request, context)
        except InitFailedError as error:
            _abort_partially(context, error)
        except (*_REFUSED, *_MISTAKES) as error:
            urn = getattr(request, "urn", "")
            where = f"{type_of_urn(urn)} {name_of_urn(urn)}: " if urn and isinstance(error, _MISTAKES) else ""
            context.abort(grpc.StatusCode.UNKNOWN, f"{where}{error}")
        except Exception:  # noqa: BLE001 - the engine shows it as the resource's error
            context.abort(grpc.StatusCode.INTERNAL, f"the sandbox's provider failed:\n{traceback.format_exc()}")

    return wrapped


def _abort_partially(context: Context, error: InitFailedError) -> NoReturn:
    """Answer that the resource exists but is not ready: the engine keeps the state that is in the details."""
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=error.outcome.id,
            properties=values.encode(error.outcome.properties),
            reasons=error.reasons,
            inputs=values.encode(error.outcome.inputs) if error.outcome.inputs else None,
        )
    )
    code = grpc.StatusCode.UNKNOWN
    status = status_pb2.Status(code=code.value[0], message=str(error), details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, str(error))
    raise AssertionError("abort raises")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider instance: configured once, then asked from many threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.cancelled = threading.Event()
        self._cluster = Cluster(settings.Settings(unreachable="not configured"), engine, self.cancelled)
        self._releases = release.Releases(self._cluster)

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        """The version of the official plugin that this one stands in for."""
        return plugin_pb2.PluginInfo(version=plugin_version())

    def GetSchema(self, request: provider_pb2.GetSchemaRequest, context: Context) -> provider_pb2.GetSchemaResponse:
        """The package's name and version; no types are described."""
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "kubernetes", "version": plugin_version()}))

    def GetMapping(self, request: provider_pb2.GetMappingRequest, context: Context) -> provider_pb2.GetMappingResponse:
        """No mapping."""
        return provider_pb2.GetMappingResponse()

    def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> empty_pb2.Empty:
        """Report to another engine."""
        self._engine.attach(request.address)
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        """Have whatever waits give up; what exists by then goes into the state."""
        self.cancelled.set()
        return empty_pb2.Empty()

    @_answers
    def CheckConfig(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        """Refuse settings that the stand-in does not have."""
        failures = settings.check(request.urn, values.plain(values.decode(request.news)))
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(failures))

    @_answers
    def DiffConfig(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        """Say whether a change of the provider's settings replaces it, and with it all that it made."""
        found = settings.diff(values.plain(values.decode(request.olds)), values.plain(values.decode(request.news)))
        changes = provider_pb2.DiffResponse.DIFF_SOME if found.changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=changes, diffs=found.changed, replaces=found.replaces)

    @_answers
    def Configure(self, request: provider_pb2.ConfigureRequest, context: Context) -> provider_pb2.ConfigureResponse:
        """Take the settings, and connect in the background."""
        variables = dict(request.variables) or settings.variables_of(values.plain(values.decode(request.args)))
        self._cluster = Cluster(settings.from_variables(variables), self._engine, self.cancelled)
        self._releases = release.Releases(self._cluster)
        self._cluster.warm_up()
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    @_answers
    def Invoke(self, request: provider_pb2.InvokeRequest, context: Context) -> provider_pb2.InvokeResponse:
        """Call a function."""
        result = invoke(self._cluster, request.tok, values.plain(values.decode(request.args)))
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(values.encode(result))  # the field's name is a Python keyword
        return response

    @_answers
    def Construct(self, request: provider_pb2.ConstructRequest, context: Context) -> provider_pb2.ConstructResponse:
        """Refuse: components such as helm.sh/v4:Chart are not the stand-in's."""
        raise ResourceError(f"the sandbox's provider makes no component {request.type} ({request.name}); {OFFICIAL}")

    @_answers
    def Call(self, request: provider_pb2.CallRequest, context: Context) -> provider_pb2.CallResponse:
        """Refuse: no resource of the stand-in has methods."""
        raise ResourceError(f"the sandbox's provider has no method {request.tok}; {OFFICIAL}")

    @_answers
    def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        """Return the inputs as they go into the state."""
        if self._skips_unreachable(request.urn) and request.olds.fields:
            self._engine.log(request.urn, "Cluster is unreachable and skipUpdateUnreachable is set: skipped", WARNING)
            return provider_pb2.CheckResponse(inputs=request.olds)
        olds, news = values.decode(request.olds), values.decode(request.news)
        checked = self._check(request, olds, news)
        return provider_pb2.CheckResponse(inputs=values.encode(checked.inputs), failures=_failures(checked.failures))

    def _check(self, request: provider_pb2.CheckRequest, olds: dict[str, Any], news: dict[str, Any]) -> Checked:
        if type_of_urn(request.urn) == release.TYPE:
            return self._releases.check(request.urn, olds, news, request.randomSeed)
        kind = kind_of_type(type_of_urn(request.urn))
        if kind.group == "helm.sh":
            raise ResourceError(
                f"the sandbox's provider makes no {type_of_urn(request.urn)} ({name_of_urn(request.urn)}); {OFFICIAL}"
            )
        naming = None
        if request.HasField("autonaming"):
            mode = provider_pb2.CheckRequest.AutonamingOptions.Mode.Name(request.autonaming.mode).lower()
            naming = Autonaming(request.autonaming.proposed_name, mode)
        return compare.check(self._cluster, request.urn, olds, news, request.randomSeed, naming)

    def _skips_unreachable(self, urn: str) -> bool:
        return self._cluster.settings.skip_update_unreachable and bool(self._cluster.unreachable)

    @_answers
    def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        """Compare the state with new inputs."""
        olds, news, ignored = values.decode(request.olds), values.decode(request.news), list(request.ignoreChanges)
        if type_of_urn(request.urn) == release.TYPE:
            found = release.difference(olds, news, ignored)
        else:
            found = compare.difference(self._cluster, request.urn, olds, news, ignored)
        some = bool(found.changes or found.replaces)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if some else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=found.replaces,
            deleteBeforeReplace=found.delete_before_replace,
            diffs=sorted({key.split(".")[0].split("[")[0] for key in found.changes}),
            detailedDiff={key: _property_diff(change) for key, change in found.changes.items()},
            hasDetailedDiff=True,
        )

    @_answers
    def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:
        """Make the resource, or in a preview say what would come out."""
        given = values.decode(request.properties)
        if type_of_urn(request.urn) == release.TYPE:
            made = self._releases.create(request.urn, given, preview=request.preview)
        else:
            made = crud.create(self._cluster, request.urn, given, request.timeout, preview=request.preview)
        return provider_pb2.CreateResponse(id=made.id, properties=values.encode(made.properties))

    @_answers
    def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:
        """Return the resource as it is in the cluster; no id when it is gone."""
        cluster = self._cluster
        if self._cluster.unreachable and cluster.settings.delete_unreachable:
            self._engine.log(request.urn, "Cluster is unreachable and deleteUnreachable is set: forgotten", WARNING)
            return provider_pb2.ReadResponse()
        if self._skips_unreachable(request.urn):
            self._engine.log(request.urn, "Cluster is unreachable and skipUpdateUnreachable is set: not read", WARNING)
            return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
        found = self._read(request)
        if not found.id:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.id, properties=values.encode(found.properties), inputs=values.encode(found.inputs)
        )

    def _read(self, request: provider_pb2.ReadRequest) -> Outcome:
        properties, inputs = values.decode(request.properties), values.decode(request.inputs)
        if type_of_urn(request.urn) == release.TYPE:
            return self._releases.read(request.id, properties, inputs)
        return crud.read(self._cluster, request.urn, request.id, properties, inputs)

    @_answers
    def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:
        """Change the resource, or in a preview say what would come out."""
        olds, news = values.decode(request.olds), values.decode(request.news)
        if type_of_urn(request.urn) == release.TYPE:
            made = self._releases.update(request.urn, news, preview=request.preview)
        else:
            ignored = list(request.ignoreChanges)
            made = crud.update(
                self._cluster, request.urn, olds, news, ignored, request.timeout, preview=request.preview
            )
        return provider_pb2.UpdateResponse(properties=values.encode(made.properties))

    @_answers
    def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        """Delete the resource, and wait until it is gone."""
        properties = values.decode(request.properties)
        if self._cluster.unreachable and self._cluster.settings.delete_unreachable:
            self._engine.log(request.urn, "Cluster is unreachable and deleteUnreachable is set: forgotten", WARNING)
        elif type_of_urn(request.urn) == release.TYPE:
            self._releases.delete(request.urn, properties)
        else:
            crud.delete(self._cluster, request.urn, properties, request.timeout)
        return empty_pb2.Empty()


def _failures(found: Any) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(property=key, reason=reason) for key, reason in found]


def _property_diff(change: Change) -> provider_pb2.PropertyDiff:
    kind = f"{change.kind}{'_replace' if change.replaces else ''}".upper()
    return provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(kind), inputDiff=change.input_diff)
