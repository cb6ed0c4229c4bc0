"""`up`, `down` and `status` of a sandbox.

`up` can be run at any time: it checks every step and does only what is missing. The same code starts a new sandbox,
repairs one whose daemon was killed, and restarts one after a reboot.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.builder.artifacts import Built, ensure_built, versions
from sandbox.cluster import addons, namespaces, pulumi_home
from sandbox.cluster.certificates import ensure_certificates
from sandbox.cluster.daemons import Daemon, daemons
from sandbox.cluster.pulumi_home import replace_link
from sandbox.cluster.supervision import DaemonState, Supervisor, write_configuration
from sandbox.layout import STATE_ROOT, TOOLS, Layout, claim, layout, state_lock
from sandbox.progress import Progress

_POLL = 0.1
_SETTLE_SECONDS = 90


class SandboxError(RuntimeError):
    """A sandbox could not be started or stopped; the message says which step failed, and where its log is."""


@dataclass(frozen=True)
class Status:
    """What `canary sandbox status` shows; `state` is `up`, `degraded`, `down` or `absent`.

    `versions` are those that `up` builds and runs, by name.
    """

    name: str
    state: str
    versions: dict[str, str]
    daemons: tuple[DaemonState, ...]
    node_ready: bool
    kubeconfig: str
    context: str
    api_server: str
    gateway: str
    logs: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def up(name: str, progress: Progress) -> Layout:
    """Build what is missing, start what does not run, and wait until the API server answers and the node is Ready.

    Raises PreflightError, LayoutError, BuildError, NamespaceError or SandboxError. What was started keeps running, and
    the next `up` resumes.
    """
    built = ensure_built(progress)
    here = claim(name)
    with _locked(here):
        _prepare(here, built)
        required = daemons(here, built.binary)
        changed = write_configuration(here, required)
        began = _now()
        found = namespaces.find(here)
        if found and changed:
            with progress.step(
                "stopping the sandbox: its programs or configuration have changed",
                log=here.logs / "supervisord.log",
            ):
                namespaces.stop(here, found)
            found = None
        running = found or _start_namespaces(here, progress)
        supervisor = Supervisor(here)
        _wait(supervisor.answers, "supervisord", here.logs / "supervisord.log", 20)
        _start_daemons(here, required, supervisor, progress)
        _import_images(here, built, running, progress)
        _add_ons(here, progress)
        if found is None:
            _settle(here, began, progress)
    return here


def down(name: str, *, delete: bool, progress: Progress) -> None:
    """Stop the sandbox, so that no process, mount, interface or cgroup is left. With `delete`, delete its state too.

    Raises SandboxError when something is left.
    """
    here = layout(name)
    if here.root.exists():
        with _locked(here):
            running = namespaces.find(here)
            if running is not None:
                with progress.step("stopping the sandbox", log=here.logs / "supervisord.log"):
                    namespaces.stop(here, running)
            namespaces.sweep(here)
            shutil.rmtree(here.run, ignore_errors=True)
    left = namespaces.leftovers(here)
    if left:
        raise SandboxError(
            f"sandbox {name} was stopped, but these are left: {', '.join(left)}\n"
            f"    fix: run it again: canary sandbox down --name {name}"
        )
    if delete:
        with state_lock():
            shutil.rmtree(here.root, ignore_errors=True)
            _remove_tools()


def status(name: str) -> Status:
    """Return what runs of a sandbox. Changes nothing."""
    here = layout(name)
    states: tuple[DaemonState, ...] = ()
    node = False
    state = "down" if here.root.exists() else "absent"
    if namespaces.find(here) is not None:
        supervisor = Supervisor(here)
        states = tuple(supervisor.states()) if supervisor.answers() else ()
        node = _node_ready(here)
        healthy = bool(states) and all(daemon.running for daemon in states) and node
        state = "up" if healthy else "degraded"
    return Status(
        name=name,
        state=state,
        versions=versions(),
        daemons=states,
        node_ready=node,
        kubeconfig=str(here.kubeconfig),
        context=here.context,
        api_server=here.api_server,
        gateway=here.gateway_url,
        logs=str(here.logs),
    )


def names() -> list[str]:
    """The sandboxes on this machine, running or not."""
    return sorted(index.parent.name for index in STATE_ROOT.glob("*/index"))


@contextmanager
def _locked(here: Layout) -> Iterator[None]:
    """Allow one `up` or `down` at a time; raises SandboxError with the process ID of the one that runs."""
    here.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (here.root / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise SandboxError(
                f"another command is using sandbox {here.name} (process {file.read() or '?'})\n"
                "    fix: wait until it has ended, then run this command again"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _prepare(here: Layout, built: Built) -> None:
    for folder in (here.run, here.config, here.logs):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ensure_certificates(here)
    replace_link(here.charts, built.charts)
    with state_lock():
        TOOLS.mkdir(exist_ok=True)
        replace_link(TOOLS / "kubectl", built.binary("kubectl"))
        pulumi_home.install(built)


def _remove_tools() -> None:
    """With the last sandbox, what all of them share is removed."""
    if not names():
        shutil.rmtree(TOOLS, ignore_errors=True)
        pulumi_home.uninstall()


def _now() -> datetime:
    """In whole seconds, like Kubernetes' timestamps."""
    return datetime.now(UTC).replace(microsecond=0)


def _start_namespaces(here: Layout, progress: Progress) -> namespaces.Running:
    with progress.step("creating namespaces and network", log=here.logs / "init.log"):
        return namespaces.start(here)


def _start_daemons(here: Layout, required: list[Daemon], supervisor: Supervisor, progress: Progress) -> None:
    started = _now()
    checks: dict[str, Callable[[], bool]] = {
        "containerd": lambda: here.containerd_socket.exists(),
        "kube-apiserver": lambda: _kubectl(here, "get", "--raw=/readyz").returncode == 0,
        "kubelet": lambda: _node_ready(here, started if "kubelet" in stopped else None),
    }
    stopped = {state.name for state in supervisor.states() if not state.running}
    for daemon in required:
        if daemon.name in stopped:
            supervisor.start(daemon.name)
    for daemon in required:
        log = here.logs / f"{daemon.name}.log"
        ready = checks.get(daemon.name, lambda: True)
        if daemon.name not in stopped and ready():
            continue
        with progress.step(f"starting {daemon.name}", log=log):
            _wait_for_daemon(supervisor, daemon.name, ready, log)


def _wait_for_daemon(supervisor: Supervisor, name: str, ready: Callable[[], bool], log: Path) -> None:
    _wait(lambda: supervisor.state(name).running and ready(), name, log, 60)


def _import_images(here: Layout, built: Built, running: namespaces.Running, progress: Progress) -> None:
    """Import the images that containerd does not have; imported ones are recorded by the name of their cache entry."""
    record = here.containerd / "imported.json"
    done: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    for image in built.images:
        if done.get(image.reference) == image.tar.name:
            continue
        log = here.logs / "images.log"
        with progress.step(f"importing the image {image.reference}", log=log), log.open("ab") as output:
            socket = f"--address={here.containerd_socket}"
            command = [
                str(built.binary("ctr")),
                socket,
                "--namespace=k8s.io",
                "images",
                "import",
                str(image.tar),
            ]
            result = subprocess.run(running.enter(command), stdout=output, stderr=output, check=False)
        if result.returncode:
            raise SandboxError(f"the image {image.reference} could not be imported; its log: {log}")
        done[image.reference] = image.tar.name
        record.write_text(json.dumps(done, indent=2))


def _add_ons(here: Layout, progress: Progress) -> None:
    with progress.step("starting cluster DNS", log=here.logs / "pods"):
        applied = _patiently(
            here,
            *("apply", "--server-side", "--force-conflicts", "--filename=-"),
            stdin=json.dumps(addons.manifests(here)),
        )
        if applied.returncode:
            raise SandboxError(f"CoreDNS could not be applied: {applied.stderr.strip()}")
        waited = _patiently(here, "--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
        if waited.returncode:
            raise SandboxError(f"CoreDNS is not ready: {waited.stderr.strip()}; its log: {here.logs / 'pods'}")


def _settle(here: Layout, started: datetime, progress: Progress) -> None:
    """Wait for the pods of a restarted cluster: their status in the API server is from before the restart."""
    log = here.logs / "kubelet.log"
    deadline = time.monotonic() + _SETTLE_SECONDS
    with progress.step("waiting for existing pods", log=log):
        while _unsettled(here, started) and time.monotonic() < deadline:
            time.sleep(_POLL)
    late = _unsettled(here, started)
    if late:
        progress.say(f"not ready after {_SETTLE_SECONDS} s: {', '.join(late)}")


def _unsettled(here: Layout, started: datetime) -> list[str]:
    listed = _kubectl(here, "get", "pods", "--all-namespaces", "--output=json")
    if listed.returncode:
        return ["the API server"]
    return unsettled_pods(json.loads(listed.stdout)["items"], started)


def unsettled_pods(pods: list[dict[str, Any]], started: datetime) -> list[str]:
    """namespace/name of the pods that have not become Ready since `started`, except terminating and finished ones."""
    late = []
    for pod in pods:
        if "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in ("Succeeded", "Failed"):
            continue
        ready = [
            condition
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "Ready"
            and condition["status"] == "True"
            and datetime.fromisoformat(condition["lastTransitionTime"]) >= started
        ]
        if not ready:
            late.append(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}")
    return late


def _kubectl(here: Layout, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(TOOLS / "kubectl"), f"--kubeconfig={here.kubeconfig}", "--request-timeout=5s", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def _patiently(here: Layout, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run kubectl again until it succeeds, for a minute: an API server that has just started may be slow to answer."""
    deadline = time.monotonic() + 60
    while True:
        done = _kubectl(here, *words, stdin=stdin)
        if not done.returncode or time.monotonic() > deadline:
            return done
        time.sleep(_POLL)


def _node_ready(here: Layout, since: datetime | None = None) -> bool:
    """Whether the node is Ready; with `since`, by a heartbeat from then on: an older one is from before the restart."""
    answer = _kubectl(here, "get", "node", here.node, "--output=json")
    if answer.returncode:
        return False
    for condition in json.loads(answer.stdout)["status"].get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] == "True":
            return since is None or datetime.fromisoformat(condition["lastHeartbeatTime"]) >= since
    return False


def _wait(ready: Callable[[], bool], what: str, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise SandboxError(f"{what} is not ready after {seconds:.0f} s; its log: {log}")
        time.sleep(_POLL)
