"""Runs every command of the README and the docs, in their order.

They run in a copy of the checkout and on a separate sandbox, which the last commands delete.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from sandbox.layout import Layout, layout
from stacks.settings.loading import load_stack
from tests.e2e.tools import CHECKOUT, Completed, measured, run_canary

SANDBOX = "e2e-readme"
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
WITH_A_TEST_OF_ITS_OWN = (
    "samples.md", "review.md", "crds.md", "secrets.md", "engines.md", "gates.md", "environments.md",
)  # fmt: skip
"""test_samples_page.py, tests/unit/test_review_doc.py, tests/unit/test_crds_page.py, test_generated_crds.py,
tests/unit/test_engines_doc.py, tests/unit/test_gates_doc.py,
test_secrets.py with tests/unit/test_secrets_doc.py, and test_clusters.py with tests/unit/test_environments_doc.py."""

# Exit code and expected output of commands; the default is exit code 0 and any output.
EXPECTED: dict[str, tuple[int, tuple[str, ...]]] = {
    "canary explain website --stack dev /": (0, ("version-1", "Rule 2 decides (from sample website)")),
    "canary explain website --stack dev -H 'qa: canary-test' /": (
        0,
        ("version-2", "Rule 1 decides (from sample website)"),
    ),
    "canary explain website --stack mistakes /": (2, ("2 problems in Pulumi.mistakes.yaml", "sampels", "strict")),
    "make demo": (0, ("all pass", "by hand")),
    "curl http://10.244.0.1:30080/": (0, ("echo-v1",)),
    "curl --header 'qa: canary-test' http://10.244.0.1:30080/": (0, ("echo-v2",)),
    "canary preview --stack dev": (0, ("VirtualService", "90")),
    "canary verify --stack dev": (0, ("all pass",)),
    "canary status --stack dev": (0, ("90 %", "4 of 4")),
    "canary rollout plan hello-minikube --stack dev": (0, ("version-1 -> version-2, 4 steps", "at least 20 s")),
    "canary rollout start hello-minikube --stack dev": (0, ("step 1 of 4: version-2 10 %", "Completed", "completed")),
    "canary rollout status hello-minikube --stack dev": (0, ("completed", "100 %", "canary rollout undo")),
    "canary rollout undo hello-minikube it is too slow --stack dev": (
        0,
        ("all requests are at version-1", "undone: it is too slow"),
    ),
    "canary open kiali --stack dev": (2, ("kiali is off", "the sandbox cannot build its image", "enabled: true")),
    "canary open grafana --stack dev": (2, ("grafana is off", "the sandbox cannot build its image")),
    "canary report --stack dev --last 15m": (0, ("report-dev.html",)),
    "canary check": (0, ("dev: ", "prod: ")),
    "canary check --stack dev --json": (0, ('"code": 0',)),
    "canary render --stack dev": (0, ("kind: CustomResourceDefinition", "kind: VirtualService")),
    "canary render --stack prod --skip-charts --output manifests": (0, ("files are written to manifests",)),
    "canary schema": (0, ("$schema",)),
    "canary up --stack minikube --yes": (5, ("minikube",)),  # there is no minikube: the message must name it
    "canary sandbox logs kubelet --lines 5": (0, ()),
    "canary sandbox kubeconfig": (0, ("kubeconfig",)),
}
# What commands print that run until Ctrl-C, which the test sends after this.
UNTIL_CTRL_C: dict[str, tuple[str, ...]] = {
    "canary open prometheus --stack dev": ("pod istio-system/prometheus-", "http://localhost:"),
    "canary open jaeger --stack dev": ("pod istio-system/jaeger-", "/jaeger"),
    "canary open website --stack dev": ("pod istio-ingress/", "http://localhost:"),
    "canary status --stack dev --watch": ("website", "90 %", "version-2", "10 %"),
}
CTRL_C_SECONDS = 60
BY_THIS_RUN = {"make test"}  # and `make test-long` is its longer form
CHANGE = "## A change of traffic"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    return [
        line
        for block in re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the checkout, with this test's sandbox in the dev stack's file."""
    folder = tmp_path_factory.mktemp("readme")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    for name in filter(None, listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, folder / name)
    (folder / ".venv").symlink_to(CHECKOUT / ".venv")
    dev = folder / "Pulumi.dev.yaml"
    text = dev.read_text().replace("/var/lib/istio-canary/sandbox/", f"/var/lib/istio-canary/{SANDBOX}/")
    dev.write_text(text.replace("context: istio-canary-sandbox", f"context: istio-canary-{SANDBOX}"))
    run_canary("sandbox", "down", "--delete", "--name", SANDBOX)
    yield folder
    run_canary("sandbox", "down", "--delete", "--name", SANDBOX)


def environment(folder: Path) -> Mapping[str, str]:
    """The activated environment, with this test's sandbox and a state of its own; no browser is opened."""
    own = {
        "PATH": f"{folder / '.venv/bin'}:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(folder / ".state"),
        "PULUMI_HOME": str(folder / ".pulumi-home"),
        "KUBECONFIG": str(folder / "no-kubeconfig"),
        "ISTIO_CANARY_SANDBOX": SANDBOX,
        "CI": "true",
    }
    theirs = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "MAKE", "MFLAGS"))}
    return {**theirs, **own}


def run(command: str, folder: Path, here: Layout) -> Completed:
    """Run a command as typed in the activated environment; `make setup` is skipped, since it has been run."""
    typed = command.replace("10.244.0.1", here.node_ip)
    if typed in ("make setup", "make demo"):
        typed += " --assume-old=.venv/.ready --assume-old=.venv/.python"
    return subprocess.run(
        ["bash", "-c", typed],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def run_until_ctrl_c(command: str, folder: Path, words: tuple[str, ...]) -> Completed:
    """Run a command until it has printed all of `words`, then press Ctrl-C."""
    with subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        limit = threading.Timer(CTRL_C_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        limit.start()
        try:
            printed = ""
            for line in process.stdout:
                printed += line
                if all(word in printed for word in words):
                    os.killpg(process.pid, signal.SIGINT)
                    break
            printed += process.stdout.read()
            return Completed(command, process.wait(), printed, "")
        finally:
            limit.cancel()


def test_every_command_of_the_readme_works(copy: Path) -> None:
    readme = PAGES[0].read_text()
    before, after = readme.split(CHANGE)
    ran = set()
    for part in (before, after):
        if part is after:  # the section tells the reader to edit the file
            snippet = re.findall(r"^```yaml\n(.*?)^```", part, re.MULTILINE | re.DOTALL)[0]
            with (copy / "Pulumi.dev.yaml").open("a") as file:
                file.write(snippet)
        for command in commands(part):
            if command in BY_THIS_RUN:
                continue
            if command in UNTIL_CTRL_C:
                code, words = 0, UNTIL_CTRL_C[command]
                done = run_until_ctrl_c(command, copy, words)
            else:
                code, words = EXPECTED.get(command, (0, ()))
                done = measured(partial(run, command, copy, layout(SANDBOX)))
            output = done.stdout + done.stderr
            assert done.returncode == code, f"`{command}` exited with {done.returncode}:\n{output}"
            for word in words:
                assert word in output, f"`{command}` does not print {word!r}:\n{output}"
            assert "Traceback" not in output, output
            ran.add(command)
    assert EXPECTED.keys() | UNTIL_CTRL_C.keys() <= ran, "every expected command is in the README"


def test_every_config_shown_in_the_readme_loads(tmp_path: Path) -> None:
    shown = blocks(PAGES[0], "yaml")
    assert len(shown) >= 2
    for number, block in enumerate(shown):
        file = tmp_path / f"Pulumi.shown{number}.yaml"
        start = "" if block.startswith("config:") else "config:\n  istio-canary:samples: [website, hello-minikube]\n"
        if block.startswith("    "):
            start += "  istio-canary:services:\n"
        file.write_text(start + block)
        assert load_stack(file).settings.services


def test_other_pages_have_no_commands_that_are_not_tested() -> None:
    for page in (page for page in PAGES[1:] if page.name not in WITH_A_TEST_OF_ITS_OWN):
        unknown = set(commands(page.read_text())) - set(commands(PAGES[0].read_text()))
        assert not unknown, f"{page.name}: {unknown}"
