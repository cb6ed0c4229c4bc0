"""docs/environments.md: its examples are accepted, and it has every kind and every committed stack."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from kube.late_kubeconfig import EMBED
from stacks.clusters import MODULES
from stacks.settings.cluster import Kind
from stacks.settings.kubeconfig_text import SET
from stacks.settings.loading import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")


def test_every_example_of_a_cluster_is_accepted_and_every_kind_has_one() -> None:
    block = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
    examples = [
        yaml.safe_load(part) for part in re.split(r"^(?=istio-canary:cluster:)", block, flags=re.MULTILINE) if part
    ]
    kinds = {getattr(load({"cluster": one["istio-canary:cluster"]}).cluster, "kind", "other") for one in examples}
    assert kinds == {*Kind, "other"}


def test_the_commands_encrypt_the_text_of_a_kubeconfig_with_what_it_names_in_it() -> None:
    (commands,) = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert EMBED in commands
    assert f"{SET} < kubeconfig" in commands.replace("--stack staging ", "")


def test_the_extras_are_those_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for sdk, extra in MODULES.values():
        assert re.search(rf'^{extra} = \["{sdk.replace("_", "-")}[>=]', project, re.MULTILINE)
        assert f"`{extra}`" in PAGE


def test_the_stacks_that_the_page_names_exist() -> None:
    named = set(re.findall(r"`(Pulumi\.[a-z-]+\.yaml)`", PAGE))
    assert named == {name for name in named if (ROOT / name).is_file()}
    assert {"Pulumi.dev.yaml", "Pulumi.staging.yaml", "Pulumi.prod.yaml"} <= named


def test_the_example_of_three_stacks_is_accepted() -> None:
    example = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1])
    settings = load(example)
    assert settings.mesh.stack_reference == "organization/istio-canary/prod-mesh"
    assert not settings.mesh.install
