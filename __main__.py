"""The Pulumi program: read the stack's settings, look at its cluster, build its environment."""

from __future__ import annotations

from pathlib import Path

import pulumi

from stacks.cluster import ClusterUnreachable, look_at_cluster
from stacks.environment import Environment
from stacks.problems import SettingsError
from stacks.program import owner_of_stack, settings_of_stack

try:
    settings = settings_of_stack(Path(__file__).parent)
    cluster = look_at_cluster(settings, owner_of_stack())
except (SettingsError, ClusterUnreachable) as error:
    raise pulumi.RunError(str(error)) from None

for name, output in Environment(settings, cluster, owner_of_stack()).outputs.items():
    pulumi.export(name, output)
