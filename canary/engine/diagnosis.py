"""Which pods of a failed run are not ready, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from canary.engine.recovery import RELEASE, plain
from kube.pods import reasons_of_unready

if TYPE_CHECKING:
    from lightkube import Client

    from canary.engine.driver import Outcome
    from canary.engine.events import ResourceStep
    from stacks.settings.model import Settings

SECONDS = 8.0
"""Time limit for all requests to the cluster."""
DEPLOYMENT = "kubernetes:apps/v1:Deployment"


def reasons(settings: Settings, outcome: Outcome, reported: Iterable[str] = ()) -> tuple[str, ...]:
    """Return why pods of the failed Deployments and releases are not ready, without what is already `reported`."""
    failed = [step for step in outcome.record.steps.values() if step.state == "failed"]
    with_pods = [step for step in failed if step.type in (DEPLOYMENT, RELEASE)]
    if not with_pods:
        return ()
    from kube.client import query
    from kube.kubeconfig import ClusterUnreachableError

    try:
        return tuple(
            new_lines(query(settings.cluster, lambda client: list(_all(client, with_pods)), within=SECONDS), reported)
        )
    except ClusterUnreachableError as error:
        return (f"(the state of the pods could not be read: {error.reason})",)


def _all(client: Client, steps: Iterable[ResourceStep]) -> Iterator[str]:
    from lightkube.resources.core_v1 import Pod

    for step in steps:
        inputs = plain(step.new)
        selector = _selector(step, inputs)
        namespace = (inputs.get("metadata") or inputs).get("namespace") or "default"
        pods: list[Any] = list(client.list(Pod, namespace=namespace, labels=selector))
        if not pods:
            yield f"{step.kind} {step.name}: no pod was created"
        yield from reasons_of_unready(client, pods)


def new_lines(lines: Iterable[str], reported: Iterable[str]) -> Iterator[str]:
    """Yield the lines that are not `reported` yet, each pod's heading only if one of its lines is yielded."""
    known = _words("\n".join(reported))
    heading = ""
    for line in lines:
        if line.startswith("pod ") and line.endswith(":"):
            heading = line
        elif _words(line.strip(" |")) not in known and _words(line.partition(": ")[2] or line) not in known:
            yield from (heading, line) if heading else (line,)
            heading = ""


def _words(text: str) -> str:
    """A text without quotes, brackets and colons, which the provider and this module use differently."""
    return " ".join(text.translate(str.maketrans("[]'\":", "     ")).split())


def _selector(step: ResourceStep, inputs: Mapping[str, Any]) -> dict[str, Any]:
    if step.type == RELEASE:
        return {"app.kubernetes.io/instance": str(inputs.get("name") or step.name)}
    return dict(((inputs.get("spec") or {}).get("selector") or {}).get("matchLabels") or {})
