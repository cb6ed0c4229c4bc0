"""The sandbox's provider as the engine starts it: a process that serves until the engine is gone."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from sandbox.provider.values import encode

EXECUTABLE = Path(__file__).parents[2] / "sandbox/provider/bin/pulumi-resource-kubernetes"
# Stands for the engine: starts the plugin as its child, and ends when told to.
ENGINE = f"""
import subprocess
plugin = subprocess.Popen([{str(EXECUTABLE)!r}, "127.0.0.1:1"])
print(plugin.pid, flush=True)
plugin.wait()
"""


class Plugin:
    """A running plugin and a stub to call it."""

    def __init__(self, log: IO[str]) -> None:
        self.log = log
        self.engine = subprocess.Popen(
            [sys.executable, "-c", ENGINE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "ISTIO_CANARY_PYTHON": sys.executable},
        )
        assert self.engine.stdout is not None
        self.pid = int(self.engine.stdout.readline())
        self.port = int(self.engine.stdout.readline())
        self._end = os.pidfd_open(self.pid)
        self.stub = provider_pb2_grpc.ResourceProviderStub(grpc.insecure_channel(f"127.0.0.1:{self.port}"))

    def ends(self) -> bool:
        """Say whether the plugin ends within ten seconds."""
        return bool(select.select([self._end], [], [], 10.0)[0])


@contextmanager
def _started(folder: Path) -> Iterator[Plugin]:
    with (folder / "log").open("w+") as log:
        plugin = Plugin(log)
        yield plugin
        plugin.engine.kill()
        plugin.engine.wait()
        assert plugin.ends(), "a plugin must not outlive its engine"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """A plugin for all tests that leave it as it is; that it ends with its engine is seen when they are done."""
    with _started(tmp_path_factory.mktemp("plugin")) as started:
        yield started


def _refusal(call: object, request: object) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)  # type: ignore[operator]
    return str(caught.value.details())


def test_the_first_line_of_the_log_says_that_it_is_the_stand_in(plugin: Plugin) -> None:
    plugin.stub.GetPluginInfo(empty_pb2.Empty())
    plugin.log.seek(0)
    assert "stand-in" in plugin.log.readline()


def test_the_version_is_the_one_that_the_sdk_asks_for(plugin: Plugin) -> None:
    assert plugin.stub.GetPluginInfo(empty_pb2.Empty()).version == "4.34.2"


def test_it_takes_secrets_and_previews(plugin: Plugin) -> None:
    answer = plugin.stub.Configure(provider_pb2.ConfigureRequest(variables={"kubernetes:config:kubeconfig": "/none"}))
    assert (answer.acceptSecrets, answer.supportsPreview) == (True, True)
    assert (answer.acceptResources, answer.acceptOutputs) == (False, False)


def test_what_it_does_not_have_is_refused_by_type_and_name(plugin: Plugin) -> None:
    chart = provider_pb2.ConstructRequest(type="kubernetes:helm.sh/v4:Chart", name="mesh")
    said = _refusal(plugin.stub.Construct, chart)
    assert "kubernetes:helm.sh/v4:Chart" in said
    assert "mesh" in said
    other = provider_pb2.CheckRequest(urn="urn:pulumi:s::p::kubernetes:helm.sh/v2:Chart::old", news=encode({}))
    assert "kubernetes:helm.sh/v2:Chart (old)" in _refusal(plugin.stub.Check, other)
    function = provider_pb2.InvokeRequest(tok="kubernetes:kustomize:directory", args=encode({}))
    assert "kubernetes:kustomize:directory" in _refusal(plugin.stub.Invoke, function)


def test_yaml_is_decoded_for_the_sdks_config_files(plugin: Plugin) -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n"
    request = provider_pb2.InvokeRequest(tok="kubernetes:yaml:decode", args=encode({"text": text}))
    result = getattr(plugin.stub.Invoke(request), "return")
    assert result["result"][0]["metadata"]["name"] == "a"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_engines_interrupt_ends_it(tmp_path: Path, number: int) -> None:
    with _started(tmp_path) as plugin:
        os.kill(plugin.pid, number)
        assert plugin.ends()
