"""Helm charts rendered to manifests by `helm template` (Helm: "Helm Template"), as Pulumi's provider installs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from canary.render.manifests import Manifest
    from stacks.recording import Recorded

INSTALL = "https://helm.sh/docs/intro/install/"
SKIP = "add --skip-charts, which writes a comment in their place"
CLUSTER_WIDE = frozenset(
    {
        *("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "GatewayClass", "IngressClass"),
        *("MutatingWebhookConfiguration", "Namespace", "PersistentVolume", "PriorityClass", "RuntimeClass"),
        *("StorageClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
        "ValidatingWebhookConfiguration",
    }
)
"""The kinds in charts that have no namespace."""


@dataclass(frozen=True)
class Helm:
    """The program `helm`, run in `folder`, where relative paths of charts begin.

    `kube_version` is the Kubernetes that the charts are rendered for; None for that of this helm.
    """

    program: Path
    folder: Path
    kube_version: str | None = None

    def manifests(self, release: Recorded) -> list[Manifest]:
        """Return the objects of a release with CRDs, in Helm's order of installation; raises CommandError.

        Hooks and tests are left out: their Jobs would run at each application. Objects without a namespace get that of
        the release, as Helm gives it to them.
        """
        import yaml

        inputs = release.inputs
        text = self._template(inputs, yaml.safe_dump(inputs.get("values", {})))
        found = [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]
        for manifest in found:
            if manifest["kind"] not in CLUSTER_WIDE:
                manifest["metadata"].setdefault("namespace", inputs["namespace"])
        return found

    def _template(self, inputs: dict[str, Any], values: str) -> str:
        repository = inputs.get("repositoryOpts", {}).get("repo")
        command = [
            *(str(self.program), "template", inputs["name"], inputs["chart"]),
            *("--namespace", inputs["namespace"], "--version", inputs["version"], "--values", "-"),
            *("--include-crds", "--no-hooks", "--skip-tests"),
            *(("--repo", repository) if repository else ()),
            *(("--kube-version", self.kube_version) if self.kube_version else ()),
        ]
        try:
            done = subprocess.run(
                command, cwd=self.folder, input=values, capture_output=True, text=True, encoding="utf-8", check=False
            )
        except OSError as error:
            fix = f"install helm for this machine ({INSTALL}), or {SKIP}"
            raise CommandError(f"{self.program} cannot be executed: {error.strerror}", ExitCode.CONFIG, fix) from None
        if done.returncode:
            raise CommandError(
                f"helm cannot render the chart {inputs['chart']} {inputs['version']}"
                + (f" of {repository}" if repository else ""),
                ExitCode.FAILED,
                fix=f"correct istio-canary:mesh.charts, mesh.version or mesh.values, or {SKIP}",
                details=tuple(done.stderr.strip().splitlines()),
            )
        return done.stdout


def find_helm(folder: Path, kube_version: str | None) -> Helm:
    """Return helm from PATH, else from beside Pulumi's CLI; raises CommandError if there is none."""
    from canary.engine.toolchain import pulumi_home

    beside_pulumi = pulumi_home(os.environ) / "bin"
    program = shutil.which("helm") or shutil.which("helm", path=beside_pulumi)
    if program is None:
        raise CommandError(
            f"helm, which renders Istio's charts, is not installed (looked on PATH and in {beside_pulumi})",
            ExitCode.CONFIG,
            fix=f"install it ({INSTALL}), or {SKIP}",
        )
    return Helm(Path(program), folder, kube_version)
