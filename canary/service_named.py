"""The service that a person has named on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from stacks.settings.model import ServiceSettings, Settings


def service_named(settings: Settings, name: str) -> ServiceSettings:
    """Return a service of the stack by its name; raises CommandError with those that there are."""
    from stacks.settings.problems import nearest

    services = settings.services
    if name in services:
        return services[name]
    near = nearest(name, services)
    raise CommandError(
        f"the stack has no service {name!r}",
        ExitCode.CONFIG,
        fix=f"{f'did you mean {near}? ' if near else ''}its services are: {', '.join(services) or 'none'}",
    )
