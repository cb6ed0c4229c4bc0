"""How the program finds a cluster whose kubeconfig is no file.

It is an output of a stack, its own of an earlier run or another one, or encrypted in the stack's file. A program can
read the outputs of stacks by the engine's built-in function `readStackOutputs`, which a StackReference uses too; here
the text is needed before anything is registered.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pulumi

from stacks.secret_texts import RuntimeSecrets
from stacks.settings.cluster import ClusterSettings, OtherStackSettings
from stacks.settings.kubeconfig_text import KUBECONFIG as ENCRYPTED_AT
from stacks.settings.model import Settings
from stacks.settings.problems import Problem, SettingsError

READ_OUTPUTS = "pulumi:pulumi:readStackOutputs"
KUBECONFIG = "kubeconfig"
NO_STACK = re.compile(r"unknown stack|no stack named|not found|does not exist", re.IGNORECASE)


def find_cluster(settings: Settings, file: str) -> None:
    """Let the settings' cluster read its kubeconfig when it is needed: from the outputs of its stack, or from what
    Pulumi has decrypted for this run.

    `file` is the stack's file, for messages. Reading raises SettingsError if the cluster is that of another stack that
    does not exist or has no such output, and if Pulumi has decrypted no text.
    """
    cluster = settings.cluster
    if isinstance(cluster, OtherStackSettings):
        cluster.late.read_by(partial(_of_other, cluster.stack_reference, file))
    elif isinstance(cluster, ClusterSettings):
        if cluster.late is not None:
            cluster.late.read_by(partial(RuntimeSecrets.of_run().plain, ENCRYPTED_AT))
    elif cluster.late is not None:
        own = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
        cluster.late.read_by(lambda: outputs_of(own).get(KUBECONFIG))


def outputs_of(stack: str) -> dict[str, Any]:
    """Return the outputs that a stack had after its last run, decrypted; raises what the engine reports."""
    found = pulumi.runtime.invoke(READ_OUTPUTS, {"name": stack}).value or {}
    return {name: _plain(value) for name, value in (found.get("outputs") or {}).items()}


def _plain(value: Any) -> Any:
    """A secret's value: the engine may mark it."""
    return value["value"] if isinstance(value, dict) and pulumi.runtime.rpc._special_sig_key in value else value


def _of_other(stack: str, file: str) -> str:
    try:
        outputs = outputs_of(stack)
    except Exception as error:  # noqa: BLE001 - the SDK raises Exception itself, with the engine's words
        raise SettingsError([no_stack(stack, file, str(error))], file) from None
    text = outputs.get(KUBECONFIG)
    if not isinstance(text, str) or not text:
        raise SettingsError([no_output(stack, file, sorted(outputs))], file)
    return text


def no_stack(stack: str, file: str, said: str) -> Problem:
    """Return the problem that another stack's outputs cannot be read; `said` is what the engine reported."""
    short = stack.rpartition("/")[2]
    missing = NO_STACK.search(said)
    what = f"there is no stack {stack}" if missing else f"the outputs of the stack {stack} cannot be read"
    return Problem(
        path="istio-canary:cluster.stackReference",
        what=what if missing else f"{what}: {' '.join(said.split())}",
        given=stack,
        allowed="a stack in the same backend, as <organization>/<project>/<stack>",
        fix=f"create its cluster first: `canary up --stack {short}`; `pulumi stack ls --all` lists the stacks that "
        "there are"
        if missing
        else "log in to the backend that has it, and set its passphrase or the rights on its key: "
        f"`pulumi stack output kubeconfig --show-secrets --stack {stack}` must work",
        file=file,
    )


def no_output(stack: str, file: str, outputs: list[str]) -> Problem:
    """Return the problem that another stack has no kubeconfig among its outputs."""
    return Problem(
        path="istio-canary:cluster.stackReference",
        what=f"the stack {stack} has no output `kubeconfig`",
        given=f"{stack}, with the outputs {', '.join(outputs) or 'none'}",
        allowed="a stack whose output `kubeconfig` is the text of a kubeconfig, such as one with a cluster of the kind "
        "gke, eks or aks",
        fix=f"finish its run: `canary up --stack {stack.rpartition('/')[2]}`; or name another stack",
        file=file,
    )
