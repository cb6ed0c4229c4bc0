"""Reusable Pulumi components: namespace, mesh, service in several versions, routing, security and egress.

Each component takes its arguments as a frozen dataclass and reads no configuration; `stacks.environment` passes the
settings in.
"""

import sdks  # noqa: F401 - the typed Istio resources are in it
