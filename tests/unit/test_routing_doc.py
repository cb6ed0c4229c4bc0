"""docs/routing.md matches its files, the messages and output of the program, and the simulator.

The same requests are sent to the real Envoy by tests/e2e/test_routing.py.
"""

from __future__ import annotations

import shlex
import shutil
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from canary.app import app
from stacks.cluster_facts import ClusterFacts
from stacks.environment import Environment
from stacks.settings.loading import json_schema, load_stack
from stacks.settings.problems import SettingsError
from stacks.simulator import simulator_of
from tests.routing_doc import DOCS, FOLDER, PAGE, Answer, Example, Mistake, Request, commands, examples, mistakes, parse
from tests.unit.mocks import run_program
from traffic import simulate
from traffic.simulate import Aborted, Answered, Decision, Forwarded, Redirected, Refused, Share

FILES = sorted(FOLDER.glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
AT_THE_PODS = ("authorization", "jwt", "mtls", "trafficPolicy")
"""Keys of a service that affect a request after routing."""
ASKED_OF_ECHO = ("x-echo-status", "x-echo-delay")
"""Headers that make the version fail or wait."""


def is_part_of(snippet: str, file: Path) -> bool:
    """Whether the file has these consecutive lines, indented or not."""
    text = "\n" + file.read_text()
    return any("\n" + textwrap.indent(snippet, " " * indent) in text for indent in range(0, 20, 2))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_of_the_page_is_a_stack_without_problems(file: Path) -> None:
    assert load_stack(file).settings.services
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(file.read_text()))] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_a_stack_whose_objects_istios_crds_accept(file: Path) -> None:
    settings, facts = load_stack(file).settings, ClusterFacts(uid="7b1f")
    run = run_program(lambda: Environment(settings, facts, "istio-canary/docs").outputs, preview=False)
    kinds = {resource.inputs.get("kind") for resource in run.custom()}
    assert kinds >= {"DestinationRule", "VirtualService"}, "the mock engine checked them"


def test_every_file_is_shown_and_every_snippet_is_part_of_its_file() -> None:
    assert {example.file for example in examples()} == set(FILES)
    assert {mistake.file for mistake in mistakes()} == set((FOLDER / "mistakes").glob("*.yaml"))
    shown = [(snippet, example.file) for example in examples() for snippet in example.snippets]
    assert all(example.snippets for example in examples())
    for snippet, file in [*shown, *((mistake.snippet, mistake.file) for mistake in mistakes())]:
        assert is_part_of(snippet, file), f"not in {file.name}:\n{snippet}"
    assert PAGE.read_text().count("```yaml") == len(shown) + len(mistakes()), "all config on the page is checked"


def test_links_on_the_page_exist() -> None:
    for link in ("settings.schema.json", "architecture.md"):
        assert f"({link}" in PAGE.read_text()
        assert (DOCS / link).exists()
    assert "## How a change loses no request" in (DOCS / "architecture.md").read_text()


@pytest.mark.parametrize("mistake", mistakes(), ids=lambda mistake: mistake.file.stem)
def test_mistakes_are_reported_as_on_the_page(mistake: Mistake) -> None:
    with pytest.raises(SettingsError) as caught:
        load_stack(mistake.file)
    assert str(caught.value).split("\n\n", 1)[1] == mistake.message


@pytest.mark.parametrize(("command", "output"), commands(), ids=lambda text: text.splitlines()[0])
def test_commands_print_what_the_page_shows(
    command: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *words = shlex.split(command)
    assert program == "canary"
    for name in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(DOCS.parent / name, tmp_path)
    for file in FILES:
        shutil.copy(file, tmp_path / f"Pulumi.{file.name}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert done.stdout == output


def routed() -> list[tuple[Example, str]]:
    """The lines of the page that only depend on routes."""
    found = []
    for example in examples():
        config = yaml.safe_load(example.file.read_text())["config"]
        if "istio-canary:namespaces" in config or "denyByDefault" in str(config):
            continue
        shop = config["istio-canary:services"]["shop"]
        if not any(key in shop for key in AT_THE_PODS):
            found += [(example, line) for line in example.lines if not _is_of_the_pods(line)]
    return found


def _is_of_the_pods(line: str) -> bool:
    request, answer = parse(line)
    asked = {name for name, _ in request.headers}
    by_tls = request.caller == "outside" or "no connection" in answer.outcomes
    return by_tls or bool(asked & set(ASKED_OF_ECHO)) or "example.org" in request.url


@pytest.mark.parametrize(("example", "line"), routed(), ids=str)
def test_the_simulator_agrees_with_the_page(example: Example, line: str) -> None:
    request, answer = parse(line)
    decision = simulator_of(load_stack(example.file).settings).decide(_simulated(request))
    assert _outcomes(decision) == pytest.approx(answer.outcomes)
    _compare_rest(decision, answer)


def _simulated(request: Request) -> simulate.Request:
    url = urlsplit(request.url)
    caller = request.caller and simulate.Caller(request.caller, {"app": request.caller})
    return simulate.Request(
        headers=request.headers,
        path=url.path + (f"?{url.query}" if url.query else ""),
        method=request.method,
        authority=url.netloc,
        scheme=url.scheme,
        port=url.port,
        caller=caller or None,
    )


def _outcomes(decision: Decision) -> dict[str, float]:
    """Percentage by version or status, as on the page."""
    outcome = decision.outcome
    if isinstance(outcome, Redirected | Answered | Refused):
        return {str(outcome.status): 100}
    assert isinstance(outcome, Forwarded)
    aborted = decision.abort or Aborted(0, 0)
    shares = {_name(share): share.probability * 100 * (1 - aborted.probability) for share in outcome.shares}
    return shares | ({str(aborted.status): aborted.probability * 100} if aborted.probability else {})


def _name(share: Share) -> str:
    """The version as on the page."""
    service, version = share.target
    return version if service == "shop" or share.target.is_egress else f"{service}/{version}"


def _received(decision: Decision, version: str, name: str) -> str | None:
    """The header that a version receives, None if there is none."""
    assert isinstance(decision.outcome, Forwarded)
    share = next(one for one in decision.outcome.shares if _name(one) == version)
    changes = [share.headers.request] if share.headers else []
    value = dict(decision.request.pairs).get(name)
    for operations in (*changes, decision.outcome.request_headers):
        value = operations.add.get(name, operations.set.get(name, None if name in operations.remove else value))
    return value


def _compare_rest(decision: Decision, answer: Answer) -> None:
    outcome: Any = decision.outcome
    if isinstance(outcome, Redirected):
        assert answer.headers["location"] == outcome.location
    if answer.body is not None:
        assert outcome.body == answer.body
    if answer.sees_path is not None:
        assert outcome.path == answer.sees_path
    for version, (name, value) in answer.sees_at.items():
        assert _received(decision, version, name) == value
    if isinstance(outcome, Forwarded):
        copies = {_name(mirror): mirror.probability * 100 for mirror in outcome.mirrors}
        assert copies == pytest.approx(answer.copies)
        assert (decision.delay.seconds if decision.delay else None) == answer.after
