"""The Kubernetes provider that the engine uses: the one on PATH, else the SDK's version from Pulumi's plugin cache.

See Pulumi's documentation, "Pulumi plugins".
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

PROGRAM = "pulumi-resource-kubernetes"
ANSWER_SECONDS = 5.0
NO_ENGINE = "127.0.0.1:1"
"""A placeholder for the engine's address: the provider requires one, but connects only to send log messages."""


def provider_line(env: Mapping[str, str], pulumi_home: Path) -> str:
    """Return a line that names the provider and its version, for runs of the engine with `env`."""
    on_path = shutil.which(PROGRAM, path=env.get("PATH"))
    if on_path is not None:
        return f"Kubernetes provider {_version_of(on_path)} from PATH ({on_path})"
    version = sdk_version()
    is_installed = (pulumi_home / "plugins" / f"resource-kubernetes-v{version}" / PROGRAM).exists()
    return f"Kubernetes provider {version}" + ("" if is_installed else ", to be downloaded by Pulumi")


def sdk_version() -> str:
    """Return the provider version that the Python SDK requires."""
    found = find_spec("pulumi_kubernetes")
    assert found is not None  # a dependency of this project
    plugin = json.loads((Path(str(found.origin)).parent / "pulumi-plugin.json").read_text(encoding="utf-8"))
    return str(plugin["version"])


def _version_of(program: str) -> str:
    """The version that the provider itself reports (GetPluginInfo)."""
    import grpc
    from google.protobuf.empty_pb2 import Empty
    from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

    with subprocess.Popen(
        [program, NO_ENGINE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                info = ResourceProviderStub(channel).GetPluginInfo(Empty(), timeout=ANSWER_SECONDS)
            return str(info.version)
        except grpc.RpcError:
            return "of unknown version"
        finally:
            process.kill()
