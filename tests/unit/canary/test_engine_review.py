"""What `explain` and `diff` say of a rule whose rollout another engine moves: who moves its weights, and by what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from canary.app import app
from canary.diff.comparison import Comparison
from canary.diff.markdown import as_markdown
from canary.diff.revisions import Revision
from canary.diff.rows import request_rows, setting_rows
from canary.diff.stack_diff import StackDiff, stack_diff
from rollout.engines.losses import KINDS, NAMES
from stacks.engine_objects import engine_rollout_args
from stacks.engine_words import object_words
from stacks.settings.engines import engines_of
from stacks.settings.stack_file import parse_stack_file
from tests.unit.stacks.engine_stacks import STEPS, stack, values

HOW = "rollout careful, at least 2 min, not at once"
ARGO = (
    "Argo Rollouts (Rollout shop in namespace shop), which writes the weights of stable and canary, the pods of main: "
    f"{HOW}"
)
FLAGGER = f"Flagger (Canary shop in namespace shop), which writes all routes of the service: {HOW}"
OURS = "this project: rollout careful"
MOVER = {"argo": ARGO, "flagger": FLAGGER, "canary": OURS, None: "-"}
WHO = "rule 1 (default): who moves its weights"


def file(engine: str | None, **keys: Any) -> str:
    """A stack's file where `engine` moves the rollout of shop; None: it has no rollout."""
    given = values(engine or "canary", **keys)
    if engine == "canary":
        given["services"]["shop"]["versions"]["old"] = {"image": "shop:0", "port": 8080}
    if engine is None:
        del given["services"]["shop"]["route"][0]["rollout"]
    return yaml.safe_dump({"config": {f"istio-canary:{key}": one for key, one in given.items()}})


def compared(before: str, after: str) -> StackDiff:
    return stack_diff("dev", _revision("a", before), _revision("b", after), with_policies=False)


def _revision(name: str, text: str) -> Revision:
    return Revision(name, ("dev",), lambda stack: parse_stack_file(Path(f"Pulumi.{stack}.yaml"), text))


def rows(found: StackDiff) -> dict[str, tuple[str, str]]:
    return {row.what: (row.before, row.after) for row in setting_rows(found)}


@pytest.fixture
def explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A project whose stack `dev` leaves the rollout of shop to the engine that is the parameter."""
    (tmp_path / "Pulumi.yaml").write_text("name: istio-canary\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text(file(request.param), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Any:
    found = CliRunner().invoke(app, [*arguments, "--stack", "dev"])
    assert found.exit_code == 0, found.output
    return found


@pytest.mark.parametrize(
    ("explained", "expected"),
    [
        (
            "argo",
            [
                "goes to stable.",
                "Argo Rollouts moves these requests from the old pods of main to its new ones",
                "by the Rollout shop in namespace shop, and writes the weights itself",
                "`kubectl argo rollouts get rollout shop --namespace=shop`",
                "stable and canary are pods of main (version=shop-main)",
            ],
        ),
        (
            "flagger",
            [
                "goes to main.",
                "Flagger moves these requests from the old pods of main to its new ones",
                "by the Canary shop in namespace shop, and writes all routes of the service itself",
                "`kubectl describe canary shop --namespace=shop`",
                "runs main as a copy, behind the Service shop-primary",
            ],
        ),
    ],
    indirect=["explained"],
)
def test_explain_says_who_moves_the_requests_and_by_which_object(explained: Path, expected: list[str]) -> None:
    text = " ".join(run("explain", "shop").stdout.split())
    for words in (*expected, HOW, "Steps: 10 % for 1m, 50 % for 1m, 100 %.", "those in the cluster are its own"):
        assert words in text
    assert "Its gates, which the gate service answers for: a step rises when it is proved" in text
    assert "canary rollout status" not in text, "it has no record of this project"
    assert "which the stack does not deploy" not in text, "the pods are those of the stack's version"


@pytest.mark.parametrize("explained", ["argo", "flagger"], indirect=True)
def test_the_json_of_explain_says_the_same(explained: Path) -> None:
    shown = " ".join(run("explain", "shop").stdout.split())
    words = json.loads(run("explain", "shop", "--json").stdout)["words"]
    said = [one for one in words if one.startswith(("Argo Rollouts moves", "Flagger moves", "Its gates", "It does so"))]
    assert len(said) == 3
    assert all(one in shown for one in said)


@pytest.mark.parametrize("engine", KINDS)
def test_the_object_that_is_named_is_one_that_up_makes(engine: str) -> None:
    settings = stack(engine)
    made = engine_rollout_args(settings, "shop", "shop").objects
    named = object_words(engines_of(settings)["shop"], "shop", settings.services["shop"])
    assert named in [f"{one.kind} {one.name} in namespace shop" for one in made]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "argo"),
        (None, "flagger"),
        ("canary", "argo"),
        ("argo", "flagger"),
        ("flagger", "argo"),
        ("argo", "canary"),
        ("flagger", None),
    ],
)
def test_diff_says_from_which_engine_to_which_a_rule_goes(before: str | None, after: str | None) -> None:
    found = compared(file(before), file(after))
    assert found.differs
    assert rows(found)[WHO] == (MOVER[before], MOVER[after])
    (change,) = json.loads(json.dumps(Comparison("a", "b", (found,)).as_json()))["stacks"]["dev"]["engines"]
    assert (change["service"], change["rule"], change["match"]) == ("shop", 1, "default")
    for side, engine in (("before", before), ("after", after)):
        assert change[side] == (None if engine is None else {"engine": engine, "words": MOVER[engine]})
    row = " | ".join(("shop", WHO, MOVER[before], MOVER[after]))
    assert f"| {row} |" in as_markdown(Comparison("a", "b", (found,)))


def test_the_subsets_of_argo_rollouts_are_no_versions_that_come() -> None:
    found = compared(file(None), file("argo"))
    (request,) = request_rows(found)
    assert (request.before, request.after, request.also) == ("main", "stable", (ARGO,))
    assert not [what for what in rows(found) if what.endswith("added")]
    (group,) = Comparison("a", "b", (found,)).as_json()["stacks"]["dev"]["services"]["shop"]["requests"]
    assert group["rollout"] == ARGO


@pytest.mark.parametrize("engine", NAMES)
def test_a_new_service_says_who_moves_its_weights(engine: str) -> None:
    assert rows(compared("config: {}\n", file(engine)))[WHO] == ("-", MOVER[engine])


@pytest.mark.parametrize("engine", NAMES)
def test_another_image_is_said_to_be_rolled_out_by_the_engine(engine: str) -> None:
    new = file(engine).replace("shop:1", "shop:2")
    found = compared(file(engine), new)
    words = f"to the new pods of main by {NAMES[engine]} ({KINDS[engine]} shop in namespace shop): {HOW}"
    assert rows(found)["rule 1 (default): new pods"] == ("-", words)
    assert WHO not in rows(found)
    (change,) = Comparison("a", "b", (found,)).as_json()["stacks"]["dev"]["engines"]
    assert change["newPods"] == words


@pytest.mark.parametrize("engine", NAMES)
def test_other_steps_in_the_rule_itself_are_shown(engine: str) -> None:
    def given(weight: int) -> str:
        steps = [{"weight": weight, "for": "1m"}, *STEPS[1:]]
        return file(engine, rule={"rollout": {"engine": engine, "steps": steps, "gates": {}}})

    found = compared(given(10), given(20))
    assert found.differs
    (what,) = rows(found)
    assert what.startswith("rule 1 (default): rollout.steps")
    (change,) = Comparison("a", "b", (found,)).as_json()["stacks"]["dev"]["engines"]
    assert (change["newPods"], len(change["changes"])) == (None, 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, "canary", id="this project's own rollout"),
        pytest.param("canary", None, id="this project's own rollout that goes"),
        pytest.param("argo", "argo", id="nothing differs"),
    ],
)
def test_diff_says_nothing_of_engines_where_none_comes_or_goes(before: str | None, after: str | None) -> None:
    assert compared(file(before), file(after)).engines == ()


@pytest.mark.parametrize("engine", NAMES)
def test_another_number_of_pods_begins_no_rollout_of_an_engine(engine: str) -> None:
    found = compared(file(engine), file(engine).replace("replicas: 3", "replicas: 4"))
    assert found.differs
    assert found.engines == ()
