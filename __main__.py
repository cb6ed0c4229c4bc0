"""The Pulumi program: reads the stack's settings and facts about its cluster, and builds its environment."""

from __future__ import annotations

from pathlib import Path

import pulumi

from kube.kubeconfig import ClusterUnreachableError
from stacks.cluster_needs import require_needs
from stacks.environment import Environment
from stacks.istio_objects import RegisteredIstioObjects
from stacks.program import (
    OtherClusterError,
    exit_quietly_on_interrupt,
    fail,
    grafana_admin_password,
    owner_of_stack,
    require_same_cluster,
    runtime_secrets,
    settings_of_stack,
    stack_file,
    warn,
)
from stacks.rollout_run import RolloutRunError, read_effective, say, write_records
from stacks.settings.problems import SettingsError
from stacks.settings.stack_file import placed

exit_quietly_on_interrupt()
try:
    with placed(Path(__file__).parent / stack_file()):
        settings = settings_of_stack(Path(__file__).parent)
        require_needs(settings, stack_file())
        facts, effective = read_effective(settings, owner_of_stack(), require_same_cluster)
except (SettingsError, ClusterUnreachableError, OtherClusterError, RolloutRunError) as error:
    fail(str(error))
warn((*facts.warnings, *effective.warnings))
say(effective)

istio_objects = RegisteredIstioObjects()
environment = Environment(
    effective.settings,
    facts,
    owner_of_stack(),
    grafana_admin_password(),
    runtime_secrets(),
    effective.routes_left,
)
for name, output in environment.outputs.items():
    pulumi.export(name, output)
istio_objects.check()
write_records(environment, settings, effective)
