"""Credential plugins: commands in a kubeconfig (users[].user.exec) that print a token.

See Kubernetes' documentation, "Authenticating", "client-go credential plugins". lightkube runs them.
"""

from __future__ import annotations

import json
from traceback import walk_tb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightkube import SingleConfig

GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1", f"{GROUP}/v1alpha1")
LOG_IN = (
    "log in again; `kubectl get namespaces` runs the same plugin, or run it by hand with its args and env from the "
    "kubeconfig"
)


def name(config: SingleConfig) -> str | None:
    """Return the command of the context's plugin, without its arguments, which may hold secrets; None without one."""
    return config.user.exec.command if config.user and config.user.exec else None


def supported(config: SingleConfig) -> SingleConfig:
    """Return the context with its plugin as lightkube can run it.

    lightkube knows only v1beta1 and v1alpha1, and reads from the output what all versions have in common: status.token.
    The version is told to the plugin as kubectl does it, in KUBERNETES_EXEC_INFO, which lightkube leaves out.
    """
    import msgspec
    from lightkube.config.models import NameValue

    if config.user is None or config.user.exec is None or config.user.exec.apiVersion not in VERSIONS:
        return config
    plugin = config.user.exec
    info = {"apiVersion": plugin.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
    env = [NameValue("KUBERNETES_EXEC_INFO", json.dumps(info)), *(plugin.env or ())]
    plugin = msgspec.structs.replace(plugin, apiVersion=f"{GROUP}/v1beta1", env=env)
    return config._replace(user=msgspec.structs.replace(config.user, exec=plugin))


def failure(config: SingleConfig, error: Exception) -> tuple[str, str] | None:
    """Return reason and fix if `error` is the plugin's; None if it was raised elsewhere."""
    from lightkube.config.client_adapter import ExecAuth

    if config.user is None or config.user.exec is None:
        return None
    code = ExecAuth.sync_auth_flow.__code__
    if not any(frame.f_code is code for frame, _ in walk_tb(error.__traceback__)):
        return None
    plugin = config.user.exec
    if plugin.apiVersion not in VERSIONS:
        what = f"has the apiVersion {plugin.apiVersion}, which is not supported"
        fix = f"set it in the kubeconfig to one that the plugin supports: {', '.join(VERSIONS)}; or use a kubeconfig "
        fix += "with a token"
    elif isinstance(error, OSError):
        what, fix = f"cannot be run: {error.strerror}", "install it, or correct its command in the kubeconfig"
    elif isinstance(error, KeyError | TypeError):
        what, fix = "printed no status.token, and only tokens are supported", LOG_IN
    elif isinstance(error, ValueError):
        what, fix = f"did not print an ExecCredential in JSON: {error}", LOG_IN
    else:  # lightkube's ConfigError, with exit code and stderr
        what, fix = f"failed: {' '.join(str(error).split())}", LOG_IN
    return f"no credentials: the credential plugin `{plugin.command}` {what}", fix
