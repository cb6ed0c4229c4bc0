"""ci/rollouts.sh: which rollouts a job moves, and how it ends."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.ci.pipelines import ROOT, github_jobs, gitlab_jobs
from tests.unit.ci.stubs import env_with

SCRIPT = ROOT / "ci/rollouts.sh"


def run(folder: Path, codes: dict[str, int], **variables: str) -> tuple[int, str, list[str]]:
    """Run the script with a `canary` that ends with these codes by service; the code, the output and the calls."""
    cases = "".join(f'{service}) echo "moves {service}"; exit {code} ;;\n' for service, code in codes.items())
    program = folder / "canary"
    program.write_text(f'#!/usr/bin/env bash\necho "$*" >> "{folder}/calls"\ncase $3 in\n{cases}esac\nexit 99\n')
    program.chmod(0o755)
    env = env_with(folder, STACK="prod", **variables)
    done = subprocess.run([SCRIPT], env=env, capture_output=True, text=True, check=False)
    calls = folder / "calls"
    return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ((0,), 0),
        ((7,), 7),
        ((8,), 8),
        ((5,), 5),
        ((0, 8), 8),
        ((8, 0), 8),
        ((8, 7), 7),
        ((7, 8), 7),
        ((8, 5), 5),
        ((5, 8), 5),
        ((5, 7), 7),
        ((0, 0, 0), 0),
    ],
    ids=str,
)
def test_a_release_that_was_taken_back_fails_the_job_before_one_that_has_not_ended(
    codes: tuple[int, ...], code: int, tmp_path: Path
) -> None:
    by_service = {f"service-{number}": one for number, one in enumerate(codes)}
    ended, said, calls = run(tmp_path, by_service, ROLLOUTS=" ".join(by_service))

    assert ended == code, said
    assert sorted(calls) == [f"rollout start {one} --stack prod --timeout 50m" for one in by_service], "each is moved"
    assert "service-0: moves service-0" in said
    assert ("run this job again" in said) is (code == 8)
    assert ("was taken back" in said) is (code == 7)


def test_the_time_is_that_of_the_job(tmp_path: Path) -> None:
    _, _, calls = run(tmp_path, {"shop": 0}, ROLLOUTS="shop", ROLLOUT_TIMEOUT="40m")
    assert calls == ["rollout start shop --stack prod --timeout 40m"]


def test_without_services_nothing_is_moved(tmp_path: Path) -> None:
    assert run(tmp_path, {})[::2] == (0, [])
    assert run(tmp_path, {}, ROLLOUTS=" ")[::2] == (0, [])


def test_gitlab_moves_the_rollouts_after_each_up_and_runs_a_job_again_that_has_not_ended() -> None:
    jobs = gitlab_jobs()
    for stack in ("dev", "staging", "prod"):
        job = jobs[f"rollouts of {stack}"]
        assert job["needs"] == [f"up {stack}"]
        assert job["script"] == ["ci/rollouts.sh"]
        assert job["retry"] == {"max": 2, "exit_codes": [8]}
        assert job["environment"]["name"] == "$STACK"
        assert not job["interruptible"]
        (rule,) = job["rules"]
        assert rf"$ROLLOUT_STACKS =~ /\b{stack}\b/" in rule["if"]
        assert '"push"' in rule["if"]


def test_github_moves_the_rollouts_after_an_up_within_the_jobs_time() -> None:
    (job,) = [one for one in github_jobs() if one.file == "pulumi.yml"]
    (step,) = [one for one in job.steps if "ci/rollouts.sh" in one.get("run", "")]
    assert step["if"] == "inputs.command == 'up' && vars.ROLLOUTS != ''"
    assert int(step["env"]["ROLLOUT_TIMEOUT"].removesuffix("m")) < job.content["timeout-minutes"]
    up = next(number for number, one in enumerate(job.steps) if "pulumi/actions" in one.get("uses", ""))
    assert job.steps.index(step) > up
