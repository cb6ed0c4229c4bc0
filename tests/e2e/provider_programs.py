"""Programs for the tests of the sandbox's provider; each operation on them is a process of its own.

``python -m tests.e2e.provider_programs <up|preview|refresh|destroy>`` reads the program's name and its arguments as
JSON on standard input and prints as JSON what became of which resource, and the error if there is one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
from pulumi import automation

NAMESPACE = "provider-e2e"
ECHO = "hashicorp/http-echo:1.0.0"
Options = Callable[..., pulumi.ResourceOptions]


def named(name: str, **more: Any) -> dict[str, Any]:
    """Return the metadata of an object in the tests' namespace."""
    return {"name": name, "namespace": NAMESPACE, **more}


def nothing(options: Options) -> None:
    """The namespace alone."""


def web(options: Options, container: dict[str, Any], pod: dict[str, Any], spec: dict[str, Any], service: bool) -> None:
    """A Deployment, and perhaps a Service before it."""
    labels = {"app": "web"}
    serving = {"name": "web", "image": ECHO, "args": ["-listen=:5678", "-text=hello"], **container}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [serving], **pod}}
    made = k8s.apps.v1.Deployment(
        "web",
        metadata=named("web"),
        spec={"replicas": 1, "selector": {"matchLabels": labels}, "template": template, **spec},
        opts=options(),
    )
    if service:
        ports = [{"port": 80, "targetPort": 5678, "name": "http"}]
        after = options(depends_on=[made])
        k8s.core.v1.Service("service", metadata=named("web"), spec={"selector": labels, "ports": ports}, opts=after)


def webs(options: Options, bad: dict[str, dict[str, Any]]) -> None:
    """Deployments side by side, each with something of its own in container, pod or spec."""
    for name, own in bad.items():
        labels = {"app": name}
        serving = {"name": "web", "image": ECHO, "args": ["-listen=:5678", "-text=hello"], **own.get("container", {})}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [serving], **own.get("pod", {})}}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template, **own.get("spec", {})}
        k8s.apps.v1.Deployment(name, metadata=named(name), spec=spec, opts=options())


def widgets(options: Options, weight: int, annotations: dict[str, str]) -> None:
    """A kind and an object of it."""
    spec_schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec_schema}}}
    k8s.apiextensions.v1.CustomResourceDefinition(
        "definition",
        metadata={"name": "widgets.e2e.example"},
        spec={
            "group": "e2e.example",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
        opts=options(),
    )
    k8s.apiextensions.CustomResource(
        "widget",
        api_version="e2e.example/v1",
        kind="Widget",
        metadata=named("widget", **({"annotations": annotations} if annotations else {})),
        spec={"weight": weight, "empty": {}},
        opts=options(),
    )


def config_maps(options: Options, data: dict[str, str], again: bool) -> None:
    """One ConfigMap with a name and one without, and perhaps a second one of the same name."""
    k8s.core.v1.ConfigMap("autonamed", metadata={"namespace": NAMESPACE}, data=data, opts=options())
    k8s.core.v1.ConfigMap("named", metadata=named("named"), data=data, opts=options())
    if again:
        k8s.core.v1.ConfigMap("again", metadata=named("named"), opts=options())


def patch(options: Options) -> None:
    """A label on a namespace that somebody else made."""
    k8s.core.v1.NamespacePatch("patch", metadata={"name": "default", "labels": {"added": "yes"}}, opts=options())


def once(options: Options) -> None:
    """A Job and a Pod that run to their end."""
    container = {"name": "c", "image": ECHO, "args": ["-version"]}
    spec = {"restartPolicy": "Never", "containers": [container]}
    k8s.batch.v1.Job("job", metadata=named("once"), spec={"template": {"spec": spec}}, opts=options())
    k8s.core.v1.Pod("pod", metadata=named("once"), spec=spec, opts=options())


PROGRAMS: dict[str, Callable[..., None]] = {
    program.__name__: program for program in (nothing, web, webs, widgets, config_maps, patch, once)
}


def run(kubeconfig: str, context: str, seconds: float, program: str, args: dict[str, Any]) -> None:
    """The Pulumi program: a provider, the namespace, and one of the programs above."""
    provider = k8s.Provider("cluster", kubeconfig=kubeconfig, context=context, cluster_identifier="the sandbox")

    def options(**more: Any) -> pulumi.ResourceOptions:
        limits = pulumi.CustomTimeouts(create=f"{seconds}s", update=f"{seconds}s")
        return pulumi.ResourceOptions(provider=provider, custom_timeouts=limits, **more)

    k8s.core.v1.Namespace("namespace", metadata={"name": NAMESPACE}, opts=options())
    PROGRAMS[program](options, **args)


def main(operation: str, given: dict[str, Any]) -> dict[str, Any]:
    """Run an operation on the stack; return the changes by resource, and the error."""
    stack = automation.create_or_select_stack("e2e", "provider", lambda: run(**given))
    changes: dict[str, str] = {}
    output: list[str] = []

    def note(event: automation.EngineEvent) -> None:
        step = event.resource_pre_event
        if step is None or "::kubernetes:" not in step.metadata.urn:
            return
        if step.metadata.op not in (automation.OpType.SAME, automation.OpType.REFRESH):
            changes.setdefault(step.metadata.urn.rpartition("::")[2], step.metadata.op.value)

    error = ""
    try:
        getattr(stack, operation)(on_event=note, on_output=output.append)
    except automation.CommandError as failed:
        error = f"{failed}\n{''.join(output)}"
    return {"changes": changes, "error": error}


if __name__ == "__main__":
    json.dump(main(sys.argv[1], json.load(sys.stdin)), sys.stdout)
