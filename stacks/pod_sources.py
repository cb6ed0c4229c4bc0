"""What a version's pods read: variables, configuration files and volumes, as the component's arguments."""

from __future__ import annotations

from typing import Any

import pulumi_kubernetes as k8s

from components.pod_variables import Variable
from components.secrets import SecretText
from components.workload_args import args_of
from stacks.secret_texts import Decrypt, text_of
from stacks.settings.environment_variables import Sourced
from stacks.settings.model import VersionSettings
from stacks.settings.problems import Location
from traffic.fields import Model


def env_of(settings: VersionSettings, place: Location, decrypt: Decrypt) -> dict[str, Variable]:
    """Return the variables of a version, whose location in the settings is `place`."""
    return {
        name: k8s.core.v1.EnvVarSourceArgs(**_fields(value.value_from))
        if isinstance(value, Sourced)
        else text_of(value, (*place, "env", name), decrypt)
        for name, value in settings.env.items()
    }


def env_from_of(settings: VersionSettings) -> list[k8s.core.v1.EnvFromSourceArgs]:
    """Return the sources whose keys all become variables."""
    made = (args_of(k8s.core.v1.EnvFromSourceArgs, _fields(source)) for source in settings.env_from)
    return [one for one in made if one is not None]


def config_files_of(
    settings: VersionSettings, place: Location, decrypt: Decrypt
) -> dict[str, dict[str, str | SecretText]]:
    """Return the configuration files of a version by folder and name; `place` is its location in the settings."""
    return {
        folder: {name: text_of(text, (*place, "configFiles", folder, name), decrypt) for name, text in files.items()}
        for folder, files in settings.config_files.items()
    }


def volumes_of(settings: VersionSettings) -> list[k8s.core.v1.VolumeArgs]:
    """Return the volumes of a version's pods."""
    return [k8s.core.v1.VolumeArgs(**_fields(volume)) for volume in settings.volumes]


def volume_mounts_of(settings: VersionSettings) -> list[k8s.core.v1.VolumeMountArgs]:
    """Return where the container has the volumes."""
    return [k8s.core.v1.VolumeMountArgs(**_fields(mount)) for mount in settings.volume_mounts]


def _fields(model: Model) -> dict[str, Any]:
    """What is given, with the SDK's names; Kubernetes drops what is empty, false or its own default."""
    return model.model_dump(by_alias=False, exclude_defaults=True)
