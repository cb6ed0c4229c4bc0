"""`canary diff`: sides, output, exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from canary.app import app
from canary.curl import curl_command
from canary.diff import markdown
from canary.diff.rows import curl_words, own_names, request_words, value_words
from canary.exit_codes import ExitCode
from traffic.simulate import Caller, Request

BEFORE = """config:
  istio-canary:services:
    shop:
      hosts: [shop.example.com]
      versions:
        version-1: {image: "shop:1", port: 8080, replicas: 2}
        version-2: {image: "shop:2", port: 8080}
      route: [{to: {version-1: 90, version-2: 10}}]
"""
AFTER = BEFORE.replace("90, version-2: 10", "75, version-2: 25").replace("shop:2", "shop:3")
BROKEN = BEFORE.replace("version-2: 10", "version-2: 20")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a subfolder of a git repository: committed and tagged `old`, and then changed."""
    project = tmp_path / "deploy"
    project.mkdir()
    (project / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (project / "Pulumi.dev.yaml").write_text(BEFORE, encoding="utf-8")
    (project / "Pulumi.prod.yaml").write_text(BEFORE, encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=before")
    git(tmp_path, "tag", "old")
    (project / "Pulumi.dev.yaml").write_text(AFTER, encoding="utf-8")
    monkeypatch.chdir(project)
    return project


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def diff(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["diff", *arguments])


def document(*arguments: str) -> Any:
    return json.loads(diff(*arguments, "--json").stdout)


def test_a_revision_is_compared_with_the_files_as_they_are_and_nothing_is_checked_out(folder: Path) -> None:
    result = diff("old")
    assert result.exit_code == ExitCode.OK
    for words in ("stack dev", "version-1 90 %, version-2 10 %", "version-1 75 %, version-2 25 %", "shop:3",
                  "GET http://shop.example.com/", "no difference: prod"):  # fmt: skip
        assert words in result.stdout, words
    assert (folder / "Pulumi.dev.yaml").read_text() == AFTER
    assert git(folder, "status", "--porcelain").strip() == "M deploy/Pulumi.dev.yaml"


def test_who_decides_about_the_pods_and_what_is_laid_over_them_is_compared(folder: Path) -> None:
    scaled = "autoscaling: {minReplicas: 2, maxReplicas: 5, cpu: 70}, podTemplate: {spec: {priorityClassName: high}}"
    account = "hosts: [shop.example.com]\n      serviceAccount: {name: bot}"
    third = '        version-3: {image: "shop:3", port: 8080, replicas: null}\n      route:'
    text = BEFORE.replace("replicas: 2", scaled).replace("hosts: [shop.example.com]", account)
    text = text.replace("      route:", third).replace("version-2: 10", "version-2: 10, version-3: 0")
    (folder / "Pulumi.dev.yaml").write_text(text, encoding="utf-8")

    result = diff("old")

    for words in ("version-1: replicas", "version-1: autoscaling", "version-1: podTemplate", "serviceAccount.name",
                  "replicas: not managed"):  # fmt: skip
        assert words in result.stdout, words


@pytest.mark.parametrize("form", ["--markdown", "--no-policies"])
def test_it_is_said_that_who_may_call_changes_without_a_request_that_shows_it(folder: Path, form: str) -> None:
    allowed = "      authorization: {allow: [{namespaces: [istio-ingress], methods: [GET]}]}\n"
    (folder / "Pulumi.dev.yaml").write_text(BEFORE + allowed, encoding="utf-8")
    printed = " ".join(diff("old", form, "--stack", "dev").stdout.split())
    assert "ho may call changes, and is not compared request by request: shop: authorization" in printed

    (folder / "Pulumi.dev.yaml").write_text(AFTER, encoding="utf-8")
    assert "ho may call" not in diff("old", form, "--stack", "dev").stdout


def test_two_revisions_are_compared_whatever_the_files_are_now(folder: Path) -> None:
    git(folder, "commit", "--quiet", "--all", "--message=after")
    (folder / "Pulumi.dev.yaml").write_text("broken", encoding="utf-8")
    assert document("old", "HEAD", "--stack", "dev")["differs"]
    assert not document("old", "HEAD", "--stack", "prod")["differs"]


def test_folders_are_compared(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "Pulumi.dev.yaml").write_text(BEFORE, encoding="utf-8")
    found = document(str(other), "./")
    assert found["stacks"]["dev"]["differs"]
    assert found["stacks"]["prod"]["new"]


def test_a_name_of_both_is_the_revision_and_with_a_dot_the_folder(folder: Path) -> None:
    (folder / "old").mkdir()
    (folder / "old" / "Pulumi.dev.yaml").write_text(AFTER, encoding="utf-8")
    assert document("old", "--stack", "dev")["differs"]
    assert not document("./old", "--stack", "dev")["differs"]


def test_json_has_each_request_with_the_change_and_how_to_send_it(folder: Path) -> None:
    service = document("old")["stacks"]["dev"]["services"]["shop"]
    (found,) = service["requests"]
    assert found["before"] == {"service": "shop", "words": "shop/version-1 90 %, shop/version-2 10 %"}
    assert found["after"]["words"] == "shop/version-1 75 %, shop/version-2 25 %"
    assert found["request"]["curl"] == "curl --header 'host: shop.example.com' http://GATEWAY/"
    assert (found["request"]["host"], found["request"]["path"], found["request"]["from"]) == (
        "shop.example.com",
        "/",
        None,
    )
    assert service["rules"][0]["changes"][1] == {"path": "to.version-2", "before": 10, "after": 25}
    assert document("old")["stacks"]["dev"]["versions"][0]["image"] == {"before": "shop:2", "after": "shop:3"}


def test_markdown_begins_with_the_marker_and_folds_the_requests(folder: Path) -> None:
    result = diff("old", "--markdown")
    assert result.stdout.startswith(f"{markdown.MARKER}\n\n")
    assert "| shop |  | version-1 90 %, version-2 10 % | version-1 75 %, version-2 25 % |" in result.stdout
    assert "<details><summary>1 request by hand" in result.stdout
    assert "curl --header 'host: shop.example.com' http://GATEWAY/" in result.stdout
    assert "unchanged: prod" in result.stdout


def test_markdown_is_cut_before_a_server_refuses_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "LONGEST", 400)
    text = diff("old", "--markdown").stdout
    assert len(text) < 500
    assert text.rstrip().endswith(markdown.CUT)


def test_markdown_shows_names_of_the_config_as_text(folder: Path) -> None:
    evil = AFTER.replace(
        "route: [", 'route: [{match: [{headers: {x: {exact: "a|b `c` <img> @user"}}}], to: version-2}, '
    )
    (folder / "Pulumi.dev.yaml").write_text(evil, encoding="utf-8")
    text = diff("old", "--markdown").stdout
    outside = re.sub(r"```.*?```|(`+)(?!`).*?(?<!`)\1(?!`)", "", text, flags=re.DOTALL)
    assert "<img>" not in outside
    assert "@user" not in outside
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) in (5, 6) for row in rows), "no cell has a bar that ends it"


def test_the_exit_code_tells_differences_where_it_is_asked_for(folder: Path) -> None:
    assert diff("old").exit_code == ExitCode.OK
    assert diff("old", "--exit-code").exit_code == ExitCode.DIFFERENCES
    assert diff("old", "--exit-code", "--stack", "prod").exit_code == ExitCode.OK


@pytest.mark.parametrize("form", ["--json", "--markdown", "--no-policies"])
def test_a_side_that_does_not_load_is_reported_with_its_problems(folder: Path, form: str) -> None:
    (folder / "Pulumi.dev.yaml").write_text(BROKEN, encoding="utf-8")
    result = diff("old", form)
    assert result.exit_code == ExitCode.CONFIG
    assert "the weights sum to 110, not 100" in result.stdout
    assert "working tree" in result.stdout
    assert "prod" in result.stdout, "the other stacks are compared"


def test_a_change_of_a_broken_file_shows_which_side_is_broken(folder: Path) -> None:
    (folder / "Pulumi.dev.yaml").write_text(BROKEN, encoding="utf-8")
    git(folder, "commit", "--quiet", "--all", "--message=broken")
    (folder / "Pulumi.dev.yaml").write_text(AFTER, encoding="utf-8")
    (problem,) = document("HEAD", "--stack", "dev")["stacks"]["dev"]["problems"]
    assert (problem["revision"], problem["line"]) == ("HEAD", 8)


def test_stacks_of_one_side_are_new_or_removed(folder: Path) -> None:
    (folder / "Pulumi.prod.yaml").rename(folder / "Pulumi.staging.yaml")
    stacks = document("old")["stacks"]
    assert (stacks["staging"]["new"], stacks["prod"]["removed"]) == (True, True)
    assert next(one["after"]["words"] for one in stacks["staging"]["services"]["shop"]["requests"]) == (
        "shop/version-1 90 %, shop/version-2 10 %"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "'nowhere' is neither a git revision nor a folder"),
        (("--help-me",), "No such option"),
        (("old", "--stack", "prd"), "did you mean --stack prod?"),
        (("old", "--json", "--markdown"), "--json and --markdown are both given"),
        (("-x",), "No such option"),
        (("..",), ".. has no stacks"),
    ],
)
def test_a_mistake_is_reported_with_its_fix(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    result = diff(*arguments)
    assert result.exit_code == ExitCode.CONFIG
    assert message in " ".join(result.output.split())


def test_a_revision_that_looks_like_an_option_is_not_one(folder: Path) -> None:
    result = diff("--", "--all")
    assert result.exit_code == ExitCode.CONFIG
    assert "'--all' is neither a git revision nor a folder" in result.stderr


def test_passwords_in_urls_are_not_shown(folder: Path) -> None:
    secret = AFTER.replace('"shop:3", port: 8080', '"shop:3", port: 8080, env: {DB: "postgres://me:secret@db/x"}')
    (folder / "Pulumi.dev.yaml").write_text(secret, encoding="utf-8")
    for form in ((), ("--json",), ("--markdown",)):
        shown = diff("old", *form).stdout
        assert "postgres" in shown
        assert "secret" not in shown


def test_nothing_of_pulumi_is_imported_for_it_without_policies(folder: Path) -> None:
    code = (
        "import sys; from canary.app import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['diff', 'old', '--no-policies']).exit_code == 0; "
        "print([name for name in ('pulumi', 'pulumi_kubernetes', 'lightkube', 'httpx') if name in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("request_", "words", "command"),
    [
        (Request((), "/", authority="a.example", port=80), "GET http://a.example/",
         "curl --header 'host: a.example' http://GATEWAY/"),
        (Request((("qa", "a b"), ("x", "")), "/x?y=1", "POST", "a.example", port=9191),
         "POST http://a.example:9191/x?y=1 with qa: a b, x: , host: a.example",
         "curl --request POST --header 'qa: a b' --header 'x;' --header 'host: a.example' 'http://GATEWAY:9191/x?y=1'"),
        (Request((), "/", authority="a.example", scheme="https", port=443), "GET https://a.example/",
         "curl --insecure --connect-to ::GATEWAY:443 https://a.example/"),
        (Request((), "/", authority="a.example:9191", port=9191), "GET http://a.example:9191/",
         "curl --header 'host: a.example:9191' http://GATEWAY:9191/"),
        (Request((), "/", authority="shop.shop", port=8080, caller=Caller("sales", {"app": "cart"})),
         "GET http://shop.shop:8080/ with host: shop.shop, from namespace sales with app=cart",
         "curl --header 'host: shop.shop' http://shop.shop:8080/  # in a pod: namespace sales with app=cart"),
        (Request((), "/", authority="shop.shop:8080", port=8080, caller=Caller("sales", {"app": "cart"})),
         "GET http://shop.shop:8080/, from namespace sales with app=cart",
         "curl http://shop.shop:8080/  # in a pod: namespace sales with app=cart"),
    ],
)  # fmt: skip
def test_a_request_in_words_and_as_a_command(request_: Request, words: str, command: str) -> None:
    assert request_words(request_) == words
    assert curl_words(request_) == command


def test_a_curl_command_can_be_parsed_by_a_shell() -> None:
    request = Request((("x", "it's"),), "/a?b=$c", authority="a.example")
    words = shlex.split(curl_command(request, "http://10.0.0.1"))
    assert words == ["curl", "--header", "x: it's", "--header", "host: a.example", "http://10.0.0.1/a?b=$c"]


@pytest.mark.parametrize(
    ("words", "own"),
    [
        ("shop/version-1 90 %, shop/version-2 10 %", "version-1 90 %, version-2 10 %"),
        ("search/version-1", "search/version-1"),
        ("100 % to shop/version-2", "100 % to version-2"),
        ("redirect 301 to /shop/new", "redirect 301 to /shop/new"),
        ("any pod of shop", "any pod of shop"),
    ],
)
def test_own_versions_are_named_as_in_the_route(words: str, own: str) -> None:
    assert own_names(words, "shop") == own


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "-"), ([], "-"), (False, "false"), (0, "0"), (50.0, "50"), ({"a": None, "b": [1, {"c": True}]},
        "b: [1, {c: true}]"), ("x" * 300, "x" * 199 + "…"),
    ],
)  # fmt: skip
def test_values_are_shown_on_one_line(value: Any, words: str) -> None:
    assert value_words(value) == words
