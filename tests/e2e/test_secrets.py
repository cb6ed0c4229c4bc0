"""A secret on its way into a pod: it arrives, is in plain text nowhere on the way, and a change of it rolls the pods.

The texts are set with Pulumi's own command and the stack's passphrase, as docs/secrets.md says. The tests build on each
other.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tools import CANARY, CHECKOUT, Completed, Project, bodies, wait_until

STACK, HOST, NAMESPACE = "secrets", "secrets.example.com", "secrets-e2e"
VERSION = "istio-canary:services.billing.versions.stable"
VARIABLE, FILE = f"{VERSION}.env.DB_PASSWORD", f'{VERSION}.configFiles["/etc/billing"]["api.key"]'
FIRST, SECOND, OF_FILE = "Tr0ub4dor-and-3-horses", "an0ther-0ne-entirely", "k3y-of-the-file-77"
SERVICE = {
    "billing": {
        "namespace": NAMESPACE,
        "hosts": [HOST],
        "versions": {
            "stable": {
                "image": "hashicorp/http-echo:1.0.0",
                "args": ["-listen=:5678", "-text=$(DB_PASSWORD)"],
                "port": 5678,
                "preStopSeconds": 0,
                "terminationGracePeriodSeconds": 1,
                "configFiles": {"/etc/billing": {"plain.txt": "plain"}},
                "volumes": [{"name": "cache", "emptyDir": {}}],
                "volumeMounts": [{"name": "cache", "mountPath": "/var/cache/billing"}],
            }
        },
        "route": [{"to": "stable"}],
    }
}


@dataclass
class Billing:
    """The project with its stack, and all that its commands have printed."""

    project: Project
    printed: list[str] = field(default_factory=list)

    def canary(self, *words: str, succeeds: bool = True, passphrase: bool = True) -> Completed:
        if passphrase:
            done = self.project.canary(*words, "--stack", STACK)
        else:
            done = without_passphrase(self.project, *words, "--stack", STACK)
        self.printed += [done.stdout, done.stderr]
        assert (done.returncode == 0) is succeeds, f"{words}: {done.stdout}{done.stderr}"
        return done

    def pulumi(self, *words: str, stdin: str = "") -> Completed:
        done = self.project.pulumi(*words, "--stack", STACK, stdin=stdin)
        self.printed += [done.stdout, done.stderr]
        return done

    def set_secret(self, path: str, text: str) -> None:
        self.pulumi("config", "set", "--secret", "--path", path, stdin=text)

    @contextmanager
    def changed(self, texts: Mapping[str, str]) -> Iterator[None]:
        """The stack's file with other texts, which waits 20 seconds for pods."""
        path = self.project.folder / f"Pulumi.{STACK}.yaml"
        good = path.read_text()
        changed = good.replace("config:\n", "config:\n  istio-canary:readyWithin: 20\n", 1)
        for old, new in texts.items():
            assert old in changed
            changed = changed.replace(old, new)
        path.write_text(changed)
        try:
            yield
        finally:
            path.write_text(good)

    def objects(self, kind: str) -> list[Any]:
        found: list[Any] = self.project.cluster.get(kind, f"--namespace={NAMESPACE}", "--selector=app=billing")["items"]
        return found

    def answers(self) -> set[str]:
        return set(bodies(self.project.cluster.layout.gateway_url, 20, host=HOST))


def without_passphrase(project: Project, *words: str) -> Completed:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PULUMI_CONFIG_PASSPHRASE")}
    env["PULUMI_BACKEND_URL"] = project.env["PULUMI_BACKEND_URL"]
    return subprocess.run(
        [str(CANARY), *words],
        cwd=project.folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def billing(mesh: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Billing]:
    """The stack with a secret variable and a secret file, not yet deployed."""
    found = begun(Project.create(tmp_path_factory.mktemp("secrets"), mesh.cluster))
    yield found
    found.project.leave(STACK, NAMESPACE)


def begun(project: Project) -> Billing:
    (project.folder / ".venv").symlink_to(CHECKOUT / ".venv")  # for plain pulumi
    project.write_stack(STACK, project.service_config(SERVICE))
    found = Billing(project)
    project.pulumi("stack", "init", STACK)
    found.set_secret(VARIABLE, FIRST)
    found.set_secret(FILE, OF_FILE)
    return found


def leaks(folder: Path, printed: list[str], texts: tuple[str, ...]) -> list[str]:
    """Where a text is in plain or in base64: files under `folder`, such as the state, and what commands printed."""
    forms = [form for text in texts for form in (text, base64.b64encode(text.encode()).decode())]
    files = [str(path) for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
             and any(form.encode() in path.read_bytes() for form in forms)]  # fmt: skip
    return files + [one for one in printed if any(form in one for form in forms)]


def test_commands_without_a_cluster_need_no_passphrase(billing: Billing) -> None:
    for words in (("check",), ("render",), ("explain", "billing")):
        billing.canary(*words, passphrase=False)


def test_the_text_arrives_in_the_pod(billing: Billing) -> None:
    billing.canary("preview")
    billing.canary("up", "--yes", "--json")

    wait_until(lambda: billing.answers() == {FIRST}, "the gateway's first route")
    by_key = {
        key: base64.b64decode(text).decode() for one in billing.objects("secrets") for key, text in one["data"].items()
    }
    assert by_key == {"DB_PASSWORD": FIRST, "api.key": OF_FILE}
    assert all(one["immutable"] for one in billing.objects("secrets"))


def test_the_mounted_folder_has_plain_and_secret_files(billing: Billing) -> None:
    (pod,) = billing.objects("pods")
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "config-0"]
    sources = {next(iter(one)) for one in volume["projected"]["sources"]}

    assert sources == {"configMap", "secret"}
    assert pod["status"]["phase"] == "Running", "the kubelet has mounted them"


def test_nothing_changes_by_another_run(billing: Billing) -> None:
    assert set(json.loads(billing.canary("up", "--yes", "--json").stdout)["changes"]) == {"same"}
    billing.canary("refresh", "--yes")
    assert set(json.loads(billing.canary("preview", "--json").stdout)["changes"]) == {"same"}


def test_a_change_of_the_text_rolls_the_pods_and_deletes_the_old_secret_last(billing: Billing) -> None:
    before = {one["metadata"]["name"] for one in billing.objects("secrets")}
    (old,) = billing.objects("pods")
    billing.set_secret(VARIABLE, SECOND)
    preview = billing.canary("preview").stdout
    assert "Secret billing-stable-env" in preview
    billing.pulumi("preview", "--diff")
    billing.canary("up", "--yes")

    assert billing.answers() == {SECOND}
    after = {one["metadata"]["name"] for one in billing.objects("secrets")}
    assert len(before & after) == 1, "the secret file's Secret stays"
    assert len(after) == 2, "the old Secret of the variable is gone"
    assert old["metadata"]["name"] not in {
        one["metadata"]["name"] for one in billing.objects("pods") if "deletionTimestamp" not in one["metadata"]
    }


@pytest.mark.long
def test_a_pod_that_fails_with_a_secret_in_its_words_is_told_without_it(billing: Billing) -> None:
    with billing.changed({"-listen=:5678": "-listen=$(DB_PASSWORD)"}):
        done = billing.canary("up", "--yes", succeeds=False)

    assert "address [secret]: missing port" in done.stdout + done.stderr
    billing.canary("up", "--yes")
    assert billing.answers() == {SECOND}


@pytest.mark.long
def test_a_missing_secret_is_named_with_what_to_do(billing: Billing) -> None:
    port = "          port: 5678\n"
    with billing.changed({port: f"{port}          envFrom: [{{secretRef: {{name: billing-db}}}}]\n"}):
        done = billing.canary("up", "--yes", succeeds=False)
        assert f"create the Secret billing-db in namespace {NAMESPACE}" in done.stdout + done.stderr

        billing.project.cluster.kubectl(
            "create", "secret", "generic", "billing-db", f"--namespace={NAMESPACE}", "--from-literal=A=b"
        )
        billing.canary("up", "--yes")
    billing.canary("up", "--yes")


def test_no_text_is_anywhere_in_plain(billing: Billing) -> None:
    state = billing.pulumi("stack", "export").stdout
    events = billing.project.cluster.kubectl("get", "events", f"--namespace={NAMESPACE}", "--output=json").stdout
    config_maps = billing.project.cluster.kubectl(
        "get", "configmaps", f"--namespace={NAMESPACE}", "--output=json"
    ).stdout
    deployments = billing.project.cluster.kubectl(
        "get", "deployments", f"--namespace={NAMESPACE}", "--output=json"
    ).stdout
    billing.canary("status")

    found = leaks(
        billing.project.folder, [*billing.printed, state, events, config_maps, deployments], (FIRST, SECOND, OF_FILE)
    )
    assert found == []
