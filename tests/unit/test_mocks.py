"""What the mock engine adds to Pulumi's own."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest

from tests.unit.mocks import HookError, Run, run_program


@pytest.mark.parametrize(("preview", "calls"), [(True, 0), (False, 1)])
def test_a_hook_runs_in_an_update_alone(preview: bool, calls: int) -> None:
    called: list[str] = []

    def program() -> Any:
        hook = pulumi.ResourceHook("wait", lambda args: called.append(args.name))
        binding = pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])
        return k8s.core.v1.ConfigMap("bound", opts=pulumi.ResourceOptions(hooks=binding)).urn

    run_program(program, preview)
    assert len(called) == calls


def test_a_hook_that_fails_keeps_its_resource_from_being_registered() -> None:
    def fail(args: pulumi.ResourceHookArgs) -> None:
        raise TimeoutError("the proxy lags")

    def program() -> Any:
        binding = pulumi.ResourceHookBinding(before_update=[pulumi.ResourceHook("wait", fail)])
        return k8s.core.v1.ConfigMap("bound", opts=pulumi.ResourceOptions(hooks=binding)).urn

    run = Run()
    with pytest.raises(HookError, match="the proxy lags"):
        run_program(program, preview=False, run=run)
    assert run.resources == []
