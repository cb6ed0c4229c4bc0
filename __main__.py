"""The Pulumi program: read the stack's settings, look at its cluster, build its environment."""

from __future__ import annotations

from pathlib import Path

import pulumi

from kube.kubeconfig import ClusterUnreachableError
from stacks.cluster_facts import look_at_cluster
from stacks.environment import Environment
from stacks.program import end_with, interruptions_are_quiet, owner_of_stack, settings_of_stack, warn
from stacks.settings.problems import SettingsError

interruptions_are_quiet()
try:
    settings = settings_of_stack(Path(__file__).parent)
    cluster = look_at_cluster(settings, owner_of_stack())
except (SettingsError, ClusterUnreachableError) as error:
    end_with(str(error))
warn(cluster.warnings)

for name, output in Environment(settings, cluster, owner_of_stack()).outputs.items():
    pulumi.export(name, output)
