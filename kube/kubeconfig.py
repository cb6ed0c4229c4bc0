"""The cluster of a stack: kubeconfig, context, and a client for them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from kube import credential_plugin, decoding
from kube.late_kubeconfig import EMBED

if TYPE_CHECKING:
    from lightkube import Client, KubeConfig, SingleConfig

    from kube.late_kubeconfig import LateKubeconfig

REQUEST_TIMEOUT = 4.0
"""Timeout of one request to the API server, in seconds."""

DEFAULT = "~/.kube/config"
NEW_KUBECONFIG = "fetch a new kubeconfig for this cluster"
OTHER_KUBECONFIG = "name another kubeconfig with istio-canary:cluster.kubeconfig or $KUBECONFIG"


class ClusterAccess(Protocol):
    """Path of a kubeconfig and a context in it, each None for kubectl's default.

    `late` has the kubeconfig's text instead of the path, for a cluster whose kubeconfig is no file.
    """

    @property
    def kubeconfig(self) -> str | None: ...

    @property
    def context(self) -> str | None: ...

    @property
    def late(self) -> LateKubeconfig | None: ...


Key = Literal["kubeconfig", "context"]


@runtime_checkable
class NamedInFile(Protocol):
    """A cluster whose kubeconfig and context are named in a stack's file."""

    def named_at(self, key: Key) -> str | None:
        """Return where the file names the key, such as `Pulumi.dev.yaml:5: istio-canary:cluster.context`; or None."""


REFUSED = "the cluster refused the request"


class ClusterUnreachableError(Exception):
    """The cluster cannot be reached, or refuses. Names the cluster, the reason and the fix; nothing was changed.

    `key` is that of the stack's file which is wrong, if one is, and `place` where it is.
    """

    def __init__(
        self,
        cluster: str,
        reason: str,
        fix: str,
        what: str = "cannot reach the cluster",
        *,
        key: Key = "kubeconfig",
        place: str | None = None,
    ) -> None:
        self.is_refusal = what == REFUSED
        """Whether the cluster answers, and other requests may be granted."""
        self.cluster = cluster
        self.reason = reason
        self.fix = fix
        self.what = what
        self.key = key
        where = f"{place}: " if place else ""
        super().__init__(f"{where}{what} ({cluster})\n    reason:  {reason}\n    fix:     {fix}")

    def at(self, place: str) -> ClusterUnreachableError:
        """Return the same error, which says where in the stack's file the cluster is named."""
        return ClusterUnreachableError(self.cluster, self.reason, self.fix, self.what, key=self.key, place=place)


def choose(cluster: ClusterAccess) -> SingleConfig:
    """Return the context of `cluster`, chosen by kubectl's rules.

    The kubeconfig is that of the settings, else $KUBECONFIG (of several files, the first with the context), else
    ~/.kube/config, else the service account of the pod that this runs in; for a cluster that a stack creates, the text
    that the stack has as an output, and for one whose text the stack's file has encrypted, that text. Raises
    ClusterUnreachableError if the file, the text or the context does not exist or cannot be read.
    """
    try:
        return _chosen(cluster)
    except ClusterUnreachableError as error:
        place = cluster.named_at(error.key) if isinstance(cluster, NamedInFile) else None
        if place is None:
            raise
        raise error.at(place) from None


def _chosen(cluster: ClusterAccess) -> SingleConfig:
    if cluster.late is not None:
        return _of_text(cluster.late, cluster.context)
    paths = _paths(cluster)
    files = [path for path in paths if _is_file(path)]
    if not files and cluster.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        files_read = [_service_account()]
    elif not files:
        raise ClusterUnreachableError(
            f"kubeconfig {', '.join(map(str, paths))}",
            "no such file",
            f"start the cluster that creates it (the sandbox: `canary sandbox up`), or {OTHER_KUBECONFIG}",
        )
    else:
        files_read = [_read(path) for path in files]
    return _context(files_read, cluster.context, ", ".join(map(str, files)))


def client(config: SingleConfig) -> Client:
    """Return a client for the context; raises ClusterUnreachableError if its certificates or keys cannot be read."""
    import httpx2
    from lightkube import Client

    decoding.one_at_a_time()
    try:
        _require_certificates(config)
        return Client(config=credential_plugin.supported(config), timeout=httpx2.Timeout(REQUEST_TIMEOUT))
    except (OSError, ValueError, AssertionError) as error:  # ssl.SSLError is an OSError, bad base64 a ValueError
        raise ClusterUnreachableError(
            describe(config), f"the credentials in the kubeconfig cannot be used: {error}", NEW_KUBECONFIG
        ) from None


def describe(config: SingleConfig) -> str:
    """Return `context a of /home/…/config, server https://…` for messages."""
    place = f" of {config.fname}" if config.fname else ""
    return f"context {config.context_name}{place}, server {config.cluster.server}"


def _paths(cluster: ClusterAccess) -> list[Path]:
    given = cluster.kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT
    parts = [given] if cluster.kubeconfig else given.split(os.pathsep)
    # Unlike Path.expanduser, it raises nothing for a user without a home, as that of a container.
    return [Path(os.path.expanduser(part)) for part in parts if part]


def _is_file(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from None
    if stat.S_ISDIR(mode):
        raise ClusterUnreachableError(f"kubeconfig {path}", "it is a folder, not a file", "name a file in it")
    return stat.S_ISREG(mode)


def _read(path: Path) -> KubeConfig:
    try:
        return _parsed(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:  # also of a file that is not UTF-8
        raise _invalid(path, str(error)) from None


def _parsed(text: str, path: Path | None) -> KubeConfig:
    """The kubeconfig in a text; raises ValueError with what is wrong with it."""
    import msgspec
    import yaml
    from lightkube import KubeConfig

    decoding.one_at_a_time()
    try:
        content = yaml.safe_load(text)
        if content is None:
            raise ValueError("it is empty")
        if not isinstance(content, dict):
            raise ValueError("it is not a mapping")
        lists = {key: content.get(key) or [] for key in ("clusters", "contexts", "users")}  # kubectl writes null
        return KubeConfig.from_dict({**content, **lists}, fname=path)
    except KeyError as missing:
        raise ValueError(f"an entry has no {missing}") from None
    except (yaml.YAMLError, msgspec.MsgspecError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def _of_text(late: LateKubeconfig, context: str | None) -> SingleConfig:
    text = late.text()
    if text is None:
        raise ClusterUnreachableError(late.words, "it does not exist yet", "run `canary up`, which creates it")
    try:
        config = _parsed(text, None)
    except ValueError:  # which may quote the text, a secret
        raise ClusterUnreachableError(late.words, *late.invalid) from None
    chosen = _context([config], context, late.words)
    _require_no_relative_files(chosen, late.words)
    return chosen


def _require_no_relative_files(config: SingleConfig, place: str) -> None:
    """Raise ClusterUnreachableError if a text names a file from its own folder: it has none."""
    user = config.user
    files = {"certificate-authority": None if config.cluster.certificate_auth_data else config.cluster.certificate_auth}
    if user is not None:
        files["client-certificate"] = None if user.client_cert_data else user.client_cert
        files["client-key"] = None if user.client_key_data else user.client_key
        files["tokenFile"] = user.token_file
    named = [key for key, file in files.items() if file and not Path(file).is_absolute()]
    if named:
        raise ClusterUnreachableError(
            f"context {config.context_name} of {place}",
            f"{', '.join(named)}: a path from the folder of the kubeconfig, and a text is in no folder",
            f"take a kubeconfig with its certificates and keys in it: {EMBED}",
        )


def _service_account() -> KubeConfig:
    from lightkube import KubeConfig
    from lightkube.core.exceptions import ConfigError

    try:
        return KubeConfig.from_service_account()
    except (ConfigError, OSError) as error:
        raise ClusterUnreachableError(
            "service account of this pod",
            f"its token cannot be read: {error}",
            f"mount the token (automountServiceAccountToken), or {OTHER_KUBECONFIG}",
        ) from None


def _unreadable(path: Path, error: OSError) -> ClusterUnreachableError:
    fix = (
        "make it readable for this user (the sandbox's kubeconfig belongs to root: run the command as root)"
        if isinstance(error, PermissionError)
        else "make it readable"
    )
    reason = f"the file cannot be read: {error.strerror}"
    return ClusterUnreachableError(f"kubeconfig {path}", reason, f"{fix}, or {OTHER_KUBECONFIG}")


def _invalid(path: Path, reason: str) -> ClusterUnreachableError:
    reason = f"the file is not a valid kubeconfig: {reason}"
    return ClusterUnreachableError(f"kubeconfig {path}", reason, f"{NEW_KUBECONFIG}, or {OTHER_KUBECONFIG}")


def _require_certificates(config: SingleConfig) -> None:
    """Raise OSError with the name of a certificate or key that cannot be read, which ssl's errors leave out.

    Raises ValueError for a certificate without a key.
    """
    user = config.user
    files = [config.cluster.certificate_auth]
    if user is not None:
        if (user.client_cert or user.client_cert_data) and not (user.client_key or user.client_key_data):
            raise ValueError("the user has a client-certificate, but no client-key")
        files.append(None if user.client_cert_data else user.client_cert)
        files.append(None if user.client_key_data else user.client_key)
    for file in filter(None, files):
        with Path(config.abs_file(file)).open("rb"):
            pass


def _context(configs: list[KubeConfig], given: str | None, place: str) -> SingleConfig:
    current = next((config.current_context for config in configs if config.current_context), None)
    name = given or current
    names = {context for config in configs for context in config.contexts}
    if not names:
        fix = f"{NEW_KUBECONFIG}, or {OTHER_KUBECONFIG}"
        raise ClusterUnreachableError(f"kubeconfig {place}", "it has no contexts", fix)
    if name is None:
        raise ClusterUnreachableError(
            f"kubeconfig {place}", "it has no current context, and the settings name none", _choose_of(names)
        )
    holder = next((config for config in configs if name in config.contexts), None)
    if holder is None:
        raise ClusterUnreachableError(
            f"context {name} of {place}", "no such context", _choose_of(names), key="context" if given else "kubeconfig"
        )
    try:
        chosen = holder.get(name)
    except KeyError as missing:
        reason = f"the context names the cluster or user {missing}, which is not in the file"
        raise ClusterUnreachableError(f"context {name} of {place}", reason, _choose_of(names - {name})) from None
    assert chosen is not None  # `get` returns None only for a missing name with a default
    return chosen


def _choose_of(names: set[str]) -> str:
    if not names:
        return f"{NEW_KUBECONFIG}, or {OTHER_KUBECONFIG}"
    return f"set istio-canary:cluster.context to one of its contexts: {', '.join(sorted(names))}"
