"""The resource kubernetes:helm.sh/v3:Release: a chart that helm installs, upgrades and uninstalls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.provider import checks, diff, helm, naming, objects, rendering
from sandbox.provider.api import ApiError, UnreachableError
from sandbox.provider.cluster import Cluster
from sandbox.provider.compare import Difference
from sandbox.provider.engine import WARNING
from sandbox.provider.kinds import NoSuchKindError, name_of_urn
from sandbox.provider.outcome import Checked, InitFailedError, Outcome, ResourceError
from sandbox.provider.state import INPUTS
from sandbox.provider.values import Secret, contains_unknown, copy_secrets, plain

TYPE = "kubernetes:helm.sh/v3:Release"
URN_LABEL = "istio-canary-urn"
_SWITCHES = objects.words(
    """allowNullValues atomic cleanupOnFail createNamespace dependencyUpdate devel disableCRDHooks
    disableOpenapiValidation disableWebhooks forceUpdate lint recreatePods renderSubchartNotes replace resetValues
    reuseValues skipAwait skipCrds takeOwnership verify waitForJobs"""
)
_TEXTS = objects.words("chart description keyring name namespace postrender version")
_OTHERS = objects.words("maxHistory repositoryOpts resourceNames timeout values checksum")
_IN_USE = "cannot re-use a name that is still in use"
_BUSY = "another operation (install/upgrade/rollback) is in progress"
_UNINSTALLED = "has no deployed releases"
_NOT_FOUND = "release: not found"

Object = Mapping[str, Any]


class Releases:
    """The operations on Releases of one provider instance."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._helm = helm.Helm(cluster.settings, cluster.cancelled)

    def check(self, urn: str, old_given: Object, given: Object, seed: bytes) -> Checked:
        """Return the inputs with name, namespace, timeout, the chart's version and what it renders to."""
        inputs: dict[str, Any] = plain(given)
        inputs["name"] = inputs.get("name") or plain(old_given.get("name"))
        if not inputs["name"]:
            inputs["name"] = naming.unique_name(f"{name_of_urn(urn)}-", seed)
        inputs["namespace"] = inputs.get("namespace") or self._cluster.settings.namespace or "default"
        if not inputs.get("skipAwait"):
            inputs.setdefault("timeout", helm.DEFAULT_SECONDS)
        failures: list[tuple[str, str]] = []
        if not contains_unknown(inputs):
            inputs = complete(inputs)
            try:
                rendered = rendering.render(self._helm, inputs)
                inputs["version"] = inputs["version"] or rendered.version
                inputs |= {"checksum": rendered.checksum, "resourceNames": rendered.resource_names}
            except helm.HelmError as error:
                failures.append(("chart", f"{error}; check the chart name and repository configuration."))
        copy_secrets(inputs, given)
        return Checked(inputs, failures)

    def create(self, urn: str, given: Object, *, preview: bool) -> Outcome:
        """Install the chart."""
        inputs: dict[str, Any] = plain(given)
        if preview:
            return Outcome("", _state(given, inputs))
        self._require("create")
        identifier = f"{inputs['namespace']}/{inputs['name']}"
        try:
            self._install(urn, inputs)
        except helm.HelmError as error:
            raise self._failed("was created, but failed to initialize completely", given, inputs, error) from error
        return Outcome(identifier, self._recorded(given, inputs))

    def update(self, urn: str, given: Object, *, preview: bool) -> Outcome:
        """Upgrade the release."""
        inputs: dict[str, Any] = plain(given)
        if preview:
            return Outcome("", _state(given, inputs))
        self._require("update")
        try:
            if inputs.get("lint"):
                chart = helm.chart_of(inputs)
                self._helm.run(["lint", chart.reference], values=inputs.get("values") or {}, chart=chart)
            self._upgrade(urn, inputs)
        except helm.HelmError as error:
            raise self._failed("failed to initialize completely", given, inputs, error) from error
        return Outcome(f"{inputs['namespace']}/{inputs['name']}", self._recorded(given, inputs))

    def read(self, identifier: str, properties: Object, old_given: Object) -> Outcome:
        """Return the release as helm knows it; an empty id when there is none."""
        self._require("read")
        outputs: dict[str, Any] = plain(properties)
        outputs.pop(INPUTS, None)
        namespace, name = objects.split_id(identifier)
        namespace, name = outputs.get("namespace") or namespace or "default", outputs.get("name") or name
        live = self._look(str(namespace), str(name))
        if live is None:
            return Outcome("")
        found = {**complete(outputs), "name": name, "namespace": namespace}
        _observe(found, live)
        inputs = {key: value for key, value in found.items() if key != "status"}
        inputs["timeout"] = inputs["timeout"] or helm.DEFAULT_SECONDS
        old_inputs = plain(properties.get(INPUTS)) or dict(inputs)
        copy_secrets(old_inputs, old_given)
        copy_secrets(inputs, old_given)
        outcome = Outcome(identifier or f"{namespace}/{name}", _state(old_inputs, found), inputs)
        status = found["status"]["status"]
        if status != "deployed":
            raise InitFailedError(
                f"Helm release {namespace}/{name} is {status}; the next update goes on with it", outcome
            )
        return outcome

    def delete(self, urn: str, properties: Object) -> None:
        """Uninstall the release; one that is not there any more is uninstalled."""
        self._require("delete")
        inputs: dict[str, Any] = plain(properties)
        try:
            said = self._helm.run(helm.uninstall_args(inputs))
        except helm.HelmError as error:
            if _NOT_FOUND in str(error):
                return
            raise ResourceError(f"Helm release {inputs['namespace']}/{inputs['name']}: {error}") from error
        kept = [line for line in said.splitlines() if line and not line.startswith("release ")]
        if kept:
            self._cluster.engine.log(urn, "Helm uninstall returned information: " + " ".join(kept), WARNING)

    def _require(self, doing: str) -> None:
        if self._cluster.unreachable:
            raise ResourceError(f"can't {doing} Helm Release with unreachable cluster: {self._cluster.unreachable}")

    def _run_chart(self, args: Sequence[str], inputs: Object, chart: helm.Chart) -> None:
        self._helm.run(args, values=inputs.get("values") or {}, chart=chart)

    def _install(self, urn: str, inputs: Object) -> None:
        chart = helm.chart_of(inputs)
        labels = {URN_LABEL: hashlib.sha256(urn.encode()).hexdigest()[:16]}
        try:
            self._run_chart(helm.install_args(inputs, chart, labels), inputs, chart)
        except helm.HelmError as error:
            if _IN_USE not in str(error) or not self._made_by(inputs, labels):
                raise
            self._say_interrupted(urn, inputs)
            self._upgrade(urn, inputs)

    def _upgrade(self, urn: str, inputs: Object) -> None:
        chart = helm.chart_of(inputs)
        labels = {URN_LABEL: hashlib.sha256(urn.encode()).hexdigest()[:16]}
        try:
            self._run_chart(helm.upgrade_args(inputs, chart, labels), inputs, chart)
        except helm.HelmError as error:
            if _BUSY not in str(error) and _UNINSTALLED not in str(error):
                raise
            # the stack is locked, so nobody else is at work on this release: a run was killed in the middle of it
            self._say_interrupted(urn, inputs)
            where = (str(inputs["namespace"]), str(inputs["name"]))
            if self._look(*where):
                self._mend(inputs)
            args = helm.upgrade_args if self._look(*where) else helm.install_args
            self._run_chart(args(inputs, chart, labels), inputs, chart)

    def _say_interrupted(self, urn: str, inputs: Object) -> None:
        name = f"{inputs['namespace']}/{inputs['name']}"
        message = f"Helm release {name} was left by an interrupted update of this resource: going on with it"
        self._cluster.engine.log(urn, message, WARNING)

    def _mend(self, inputs: Object) -> None:
        """Bring a release that is pending back to its last deployed revision, or away when it has none."""
        where = ["--namespace", str(inputs["namespace"])]
        history = json.loads(self._helm.run(["history", str(inputs["name"]), *where, "--output", "json"]))
        deployed = [item["revision"] for item in history if item["status"] in ("deployed", "superseded")]
        if deployed:
            self._helm.run(["rollback", str(inputs["name"]), str(max(deployed)), *where])
        else:
            self._helm.run(helm.uninstall_args(inputs))

    def _made_by(self, inputs: Object, labels: Mapping[str, str]) -> bool:
        """Say whether this very resource installed the release that is there."""
        wanted = {"owner": "helm", "name": str(inputs["name"]), **labels}
        selector = ",".join(f"{k}={v}" for k, v in wanted.items())
        try:
            path = f"/api/v1/namespaces/{inputs['namespace']}/secrets"
            return bool(self._cluster.api.get(path, labelSelector=selector).get("items"))
        except (ApiError, UnreachableError):
            return False

    def _look(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return the release as `helm status` and `helm get metadata` show it, or None."""
        where = [name, "--namespace", namespace, "--output", "json"]
        try:
            live = json.loads(self._helm.run(["status", *where]))
            live["metadata"] = json.loads(self._helm.run(["get", "metadata", *where]))
        except helm.HelmError as error:
            if _NOT_FOUND in str(error):
                return None
            raise ResourceError(f"Helm release {namespace}/{name}: {error}") from error
        return dict(live)

    def _recorded(self, given: Object, inputs: dict[str, Any]) -> dict[str, Any]:
        live = self._look(str(inputs["namespace"]), str(inputs["name"]))
        outputs = dict(inputs)
        if live is not None:
            _observe(outputs, live)
        return _state(given, outputs)

    def _failed(self, what: str, given: Object, inputs: dict[str, Any], error: helm.HelmError) -> Exception:
        """A release that exists goes into the state with the error, and with the reasons of pods that are not ready."""
        name = f"{inputs['namespace']}/{inputs['name']}"
        message = f"Helm release {name!r} {what}: {error}"
        live = None if _IN_USE in str(error) else self._look(str(inputs["namespace"]), str(inputs["name"]))
        if live is None:
            return ResourceError(f"Helm release {name!r}: {error}")
        outputs = dict(inputs)
        _observe(outputs, live)
        return InitFailedError(message, Outcome(name, _state(given, outputs)), self._not_ready(live))

    def _not_ready(self, live: Object) -> list[str]:
        found: list[str] = []
        for obj in rendering.documents(str(live.get("manifest") or "")):
            metadata = {"namespace": live.get("namespace"), **obj["metadata"]}
            try:
                current = self._cluster.live({**obj, "metadata": metadata})
                check = checks.check_for(self._cluster, {}, current)
                verdict = check() if check else None
            except (ApiError, UnreachableError, NoSuchKindError):
                continue
            if verdict is not None and not verdict.ready:
                title = f"{obj['kind']} {objects.qualified_name(current)}"
                reasons = (*verdict.problems, *checks.explain(self._cluster, current))
                found += [f"{title}: {reason}" for reason in reasons]
        return found


def difference(properties: Object, news: Object, ignored: Sequence[str]) -> Difference:
    """Compare the inputs of the last update, the release as it is, and the new inputs."""
    live: dict[str, Any] = plain(properties)
    old_inputs = live.pop(INPUTS, None) or {}
    new_inputs: dict[str, Any] = plain(news)
    if "checksum" in ignored:
        new_inputs["checksum"] = old_inputs.get("checksum")
    patch = diff.merge_patch(old_inputs, new_inputs)
    changes = {
        key: diff.Change(change.kind, change.replaces, input_diff=True)
        for key, change in diff.changes(patch, live, new_inputs, old_inputs, (".name", ".namespace")).items()
    }
    return Difference(changes, tuple(key for key, change in changes.items() if change.replaces))


def complete(inputs: Object) -> dict[str, Any]:
    """Return the properties of a Release alone, switches and texts that are not given at false and empty."""
    made: dict[str, Any] = {key: bool(inputs.get(key)) for key in _SWITCHES}
    made |= {key: str(inputs.get(key) or "") for key in _TEXTS}
    made |= {key: inputs[key] for key in _OTHERS if inputs.get(key) is not None}
    made["timeout"] = int(inputs.get("timeout") or 0)
    return made


def _observe(outputs: dict[str, Any], live: Object) -> None:
    """Set in ``outputs`` what helm says about the release."""
    metadata = live["metadata"]
    outputs["chart"] = outputs.get("chart") or metadata["chart"]
    outputs["version"] = metadata["version"]
    outputs["values"] = _merged(outputs.get("values") or {}, live.get("config") or {})
    outputs["resourceNames"] = rendering.resource_names(rendering.documents(str(live.get("manifest") or "")))
    outputs["status"] = {
        "appVersion": metadata.get("appVersion", ""),
        "chart": metadata["chart"],
        "name": live["name"],
        "namespace": live["namespace"],
        "revision": live["version"],
        "status": live["info"]["status"],
        "version": metadata["version"],
    }


def _merged(base: Object, over: Object) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _state(given: Object, outputs: Object) -> dict[str, Any]:
    made: dict[str, Any] = plain(outputs)
    copy_secrets(made, given)
    return {**made, INPUTS: Secret(dict(given))}
