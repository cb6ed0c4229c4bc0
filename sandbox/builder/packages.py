"""The Debian packages that the sandbox needs, and their installation with apt-get."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sandbox.builder.commands import run_logged
from sandbox.progress import Progress

TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # a user's PATH may lack the sbin folders
CNI_PLUGINS = Path("/usr/lib/cni")  # where containernetworking-plugins installs them


@dataclass(frozen=True)
class Package:
    """A Debian package, and the files or commands that show that it is installed."""

    name: str
    needs: tuple[str, ...]

    def is_installed(self) -> bool:
        """Whether every needed file and command exists, however it was installed."""
        return all(
            Path(need).exists() if need.startswith("/") else shutil.which(need, path=TOOL_PATH) for need in self.needs
        )


PACKAGES = (
    Package("runc", ("runc",)),
    Package(
        "containernetworking-plugins",
        tuple(str(CNI_PLUGINS / plugin) for plugin in ("bridge", "host-local", "portmap")),
    ),
    Package("iptables", ("iptables", "iptables-save", "iptables-restore")),
    Package("conntrack", ("conntrack",)),
    Package("iproute2", ("ip",)),
    Package("util-linux", ("unshare", "nsenter")),
    Package("mount", ("mount", "umount")),
)


def missing() -> tuple[str, ...]:
    """The names of the packages that have to be installed."""
    return tuple(package.name for package in PACKAGES if not package.is_installed())


def install_command(names: tuple[str, ...]) -> list[str]:
    """The command that installs packages and removes none: runc would replace a Docker that ships its own."""
    return ["apt-get", "install", "--yes", "--no-install-recommends", "--no-remove", *names]


def install(names: tuple[str, ...], report: Progress, log: Path) -> None:
    """Install packages; raises BuildError with the end of apt-get's output."""
    environment = {"PATH": TOOL_PATH, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", **_proxies()}
    with report.step(f"installing the Debian packages {', '.join(names)}", log):
        run_logged(["apt-get", "update"], log, environment=environment)
        run_logged(install_command(names), log, environment=environment)


def source_error(timeout_seconds: float) -> str:
    """Ask apt-get's package sources without changing the machine's package lists; return the error, "" for none."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)  # apt-get downloads as the user _apt
        command = ["apt-get", "update", "-o", f"Dir::State::Lists={scratch}", "-o", "APT::Update::Error-Mode=any"]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            return f"no answer within {timeout_seconds:.0f} s"
    return done.stderr.strip() if done.returncode else ""


def _proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
