"""A stack of another program that has the sandbox's kubeconfig as a secret output, as that of a cloud's cluster has."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.e2e.tools import CHECKOUT, Project

CLUSTER_STACK = "organization/a-cluster/test"
PROGRAM = """
import pathlib, pulumi
pulumi.export("kubeconfig", pulumi.Output.secret(pathlib.Path({path!r}).read_text()))
pulumi.export("endpoint", "https://c.example.com")
"""


def make_cluster_stack(project: Project, folder: Path) -> str:
    """Bring up the stack in the backend of `project`, with its program in `folder`, and return its full name."""
    folder.mkdir()
    runtime = {"name": "python", "options": {"virtualenv": str(CHECKOUT / ".venv")}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "a-cluster", "runtime": runtime}))
    (folder / "__main__.py").write_text(PROGRAM.format(path=str(project.cluster.layout.kubeconfig)))
    for words in (("stack", "init", CLUSTER_STACK), ("up", "--yes", "--skip-preview", "--stack", CLUSTER_STACK)):
        project.pulumi("--cwd", str(folder), *words)
    return CLUSTER_STACK
