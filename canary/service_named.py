"""The service that a person has named on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from stacks.settings.model import ServiceSettings, Settings


def service_named(settings: Settings, name: str) -> ServiceSettings:
    """Return a service of the stack by its name; raises CommandError with those that were probably meant."""
    from stacks.settings.problems import nearest

    services = settings.services
    if name in services:
        return services[name]
    first = name.partition("/")[0]
    what = f"the stack has no service {name!r}"
    if "/" in name and first in services:
        raise CommandError(what, ExitCode.CONFIG, fix=f"write the service alone: {first}")
    for kind, named in _groups(settings).items():
        if name in named:
            fix = f"name one of its services: {', '.join(named[name])}"
            raise CommandError(f"{what}; {name} is a {kind}", ExitCode.CONFIG, fix=fix)
    near = nearest(name, services)
    raise CommandError(
        what,
        ExitCode.CONFIG,
        fix=f"{f'did you mean {near}? ' if near else ''}its services are: {', '.join(services) or 'none'}",
    )


def _groups(settings: Settings) -> Mapping[str, Mapping[str, list[str]]]:
    """The services of each sample and of each namespace."""
    from stacks.samples import SETTINGS

    services = settings.services
    samples = {
        sample.value: [name for name in SETTINGS[sample]["services"] if name in services] for sample in settings.samples
    }
    namespaces: dict[str, list[str]] = {}
    for name, service in services.items():
        namespaces.setdefault(service.namespace, []).append(name)
    return {"sample": {name: found for name, found in samples.items() if found}, "namespace": namespaces}
