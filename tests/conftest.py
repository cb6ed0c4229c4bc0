"""What all tests have in common."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A law does not depend on how busy the machine is.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")
