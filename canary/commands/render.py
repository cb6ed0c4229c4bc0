"""`canary render`: the stack's Kubernetes manifests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from canary.options import JsonOption, StackOption
from canary.ui import Ui, command

if TYPE_CHECKING:
    from canary.render.manifests import Part

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="The file to write (.yaml, .yml), or a folder that gets a file for each object; default: stdout.",
    ),
]
SkipCharts = Annotated[
    bool, typer.Option("--skip-charts", help="Write a comment in place of Istio's charts; needs no helm.")
]
KubeVersion = Annotated[
    str | None,
    typer.Option(metavar="VERSION", help="The Kubernetes that the charts are rendered for; default: that of helm."),
]


def render(
    stack: StackOption = None,
    json: JsonOption = False,
    output: Output = None,
    skip_charts: SkipCharts = False,
    kube_version: KubeVersion = None,
) -> None:
    """Print the stack's Kubernetes manifests.

    For Argo CD, Flux or kubectl, or to read: the objects that `up` would make in an empty cluster, in the order of
    application. Runs the stack's program without engine, cluster or credentials; Istio's charts are rendered by `helm
    template`. Secrets are left out, with a comment that says how to create them. With --json, a List of Kubernetes.
    """
    with command(json) as ui:
        name, parts, notes = _parts(stack, skip_charts, kube_version)
        _note(ui, parts)
        for note in notes:
            ui.note(f"note: {note}")
        if ui.json:
            _write_json(output, parts)
        else:
            _write(output, parts, name, ui)


def _parts(stack: str | None, skip_charts: bool, kube_version: str | None) -> tuple[str, list[Part], list[str]]:
    from canary.engine.session import chosen_stack
    from canary.render.helm import find_helm
    from canary.render.manifests import RELEASE, parts_of, secret_with_keys
    from canary.render.rollout_notes import rollout_notes

    project, name, loaded = chosen_stack(stack)
    from stacks.recording import record  # after the settings are found valid: it imports Pulumi
    from stacks.rollouts import not_started

    short = name.split("/")[-1]
    resources = record(not_started(loaded.settings), short, project=project.name, secret=secret_with_keys)
    has_charts = any(resource.type == RELEASE for resource in resources)
    helm = find_helm(project.root, kube_version) if has_charts and not skip_charts else None
    return short, parts_of(resources, helm.manifests if helm else None), list(rollout_notes(loaded.settings))


def _note(ui: Ui, parts: list[Part]) -> None:
    from canary.render.manifests import masked_places

    for part in parts:
        if part.comment:
            ui.note(f"left out: {part.comment}")
    for place in masked_places(parts):
        ui.note(f"masked: {place}")


def _write(output: Path | None, parts: list[Part], stack: str, ui: Ui) -> None:
    from canary.render.output import stream, write_file, write_folder

    if output is None:
        typer.echo(stream(parts, stack), nl=False)
    elif output.suffix in (".yaml", ".yml") and not output.is_dir():
        write_file(output, stream(parts, stack))
        ui.note(f"{output} is written")
    else:
        written = write_folder(output, parts, stack)
        ui.note(f"{len(written)} files are written to {output}")


def _write_json(output: Path | None, parts: list[Part]) -> None:
    import json

    from canary.render.output import write_file

    items = [manifest for part in parts for manifest in part.manifests]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2, default=str)
    if output is None:
        typer.echo(text)
    else:
        write_file(output, f"{text}\n")
