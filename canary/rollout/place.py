"""Which rollout a command is about: the service, its namespace and the cluster; by a stack's file, or without one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from canary.command_error import CommandError
from canary.exit_codes import ExitCode
from canary.rollout.first_write import NAME
from rollout.person import who as who

if TYPE_CHECKING:
    from canary.project import Project
    from canary.ui import Ui
    from kube.kubeconfig import ClusterAccess
    from kube.late_kubeconfig import LateKubeconfig
    from stacks.settings.loading import StackSettings
    from stacks.settings.model import Settings

COMMAND = re.compile(r"`canary rollout (\w+)(?: ([\w.-]+))?`")
UP = re.compile(r"`canary (up|status)`")


@dataclass(frozen=True)
class KubectlAccess:
    """The cluster of kubectl's own rules, or another context of its kubeconfig."""

    context: str | None = None
    kubeconfig: str | None = None
    late: LateKubeconfig | None = None


@dataclass(frozen=True)
class Place:
    """Where the rollout of a service is kept.

    `loaded` is None without a stack, and if its file has mistakes that do not matter for the command. `prometheus` is
    the URL of a Prometheus that takes the place of the stack's.
    """

    service: str
    namespace: str
    cluster: ClusterAccess
    stack: str | None = None
    loaded: StackSettings | None = None
    context: str | None = None
    prometheus: str | None = None

    @property
    def settings(self) -> Settings | None:
        """The stack's settings, None if they are not known."""
        return None if self.loaded is None else self.loaded.settings

    @property
    def options(self) -> str:
        """The options that name the same rollout again: `--stack dev`."""
        if self.stack is not None:
            return f"--stack {self.stack}"
        return f"--namespace {self.namespace}" + (f" --context {self.context}" if self.context else "")

    @property
    def up(self) -> str:
        """The command that deploys the stack."""
        return "canary up" + (f" --stack {self.stack}" if self.stack is not None else "")

    def command(self, verb: str, *more: str) -> str:
        """Return the command for another verb on the same rollout."""
        asked = ["--prometheus", self.prometheus] if self.prometheus and verb == "start" else []
        return " ".join(["canary rollout", verb, self.service, *more, self.options, *asked])

    def completed(self, text: str) -> str:
        """Return a text whose commands, such as `canary rollout abort`, are completed so that they can be copied."""
        with_verbs = COMMAND.sub(lambda found: f"`{self.command(found[1])}`", text)
        if self.stack is None:
            return with_verbs
        return UP.sub(lambda found: f"`canary {found[1]} --stack {self.stack}`", with_verbs)


def place_of(
    ui: Ui,
    service: str,
    stack: str | None,
    namespace: str | None = None,
    context: str | None = None,
    *,
    light: bool = False,
    strict: bool = False,
) -> Place:
    """Return the place of a service's rollout.

    With `namespace` no file is read. Else the stack's file tells namespace and cluster. Unless `strict`, mistakes in
    the rest of the file are only noted. `light` does not even look for them: an abort has no time to lose. Raises
    CommandError.
    """
    if context is not None and namespace is None:
        raise CommandError(
            "--context is given without --namespace",
            ExitCode.CONFIG,
            fix="add --namespace with the service's namespace, or leave --context out: the stack's file names its "
            "context (istio-canary:cluster.context)",
        )
    if namespace is not None:
        return _without_stack(service, stack, namespace, context)
    from canary.engine.cluster_source import find_cluster
    from canary.engine.session import selected_stack
    from canary.project import choose_stack, find_project
    from canary.service_named import service_named
    from stacks.settings.loading import load_stack
    from stacks.settings.problems import SettingsError

    project = find_project()
    name = choose_stack(project, stack, lambda: selected_stack(project))
    file = project.stack_file(name)
    quick = _from_values(project, service, name) if light else None
    if quick is not None:
        return quick
    try:
        loaded = load_stack(file)
    except SettingsError as error:
        found = None if strict else _from_values(project, service, name)
        if found is None:
            raise CommandError(str(error), ExitCode.CONFIG) from None
        ui.note(
            f"{file.name} has mistakes (`canary check --stack {name}` tells them); only the cluster and the "
            f"namespace of {service} are read from it"
        )
        return found
    try:
        settings = service_named(loaded.settings, service)
    except CommandError as error:
        error.fix += (
            "" if strict else "; for a service that the file has no longer, give --namespace in place of --stack"
        )
        raise
    find_cluster(project, name, loaded.settings.cluster)
    return Place(service, settings.namespace, loaded.settings.cluster, name, loaded)


def _without_stack(service: str, stack: str | None, namespace: str, context: str | None) -> Place:
    if stack is not None:
        raise CommandError(
            "--stack and --namespace are both given",
            ExitCode.CONFIG,
            fix="keep --stack, whose file names the namespace and the cluster; or --namespace, which reads no file",
        )
    for option, value in (("SERVICE", service), ("--namespace", namespace)):
        if not NAME.fullmatch(value):
            raise CommandError(
                f"{option} is not a name of Kubernetes",
                ExitCode.CONFIG,
                fix="see `kubectl get services --all-namespaces`",
                details=(
                    f"given:   {value}",
                    "allowed: at most 63 lowercase letters, digits and -, first and last a letter or a digit",
                ),
            )
    return Place(service, namespace, KubectlAccess(context), context=context)


def _from_values(project: Project, service: str, stack: str) -> Place | None:
    """The place from a file with mistakes; None if these are in what is needed."""
    from pydantic import TypeAdapter, ValidationError

    from canary.engine.cluster_source import find_cluster
    from stacks.samples import laid_under
    from stacks.settings.cluster import AnyClusterSettings
    from stacks.settings.loading import OURS
    from stacks.settings.problems import SettingsError
    from stacks.settings.stack_file import read_stack_file

    try:
        given = {
            key.removeprefix(OURS): value for key, value in read_stack_file(project.stack_file(stack)).values.items()
        }
        services = laid_under(given).get("services")
        clusters: TypeAdapter[AnyClusterSettings] = TypeAdapter(AnyClusterSettings)
        cluster = clusters.validate_python(given.get("cluster") or {}, by_name=False, by_alias=True)
    except (SettingsError, ValidationError, TypeError, AttributeError):
        return None
    if not isinstance(services, Mapping) or not isinstance(services.get(service), Mapping):
        return None
    namespace: Any = services[service].get("namespace") or service
    if not isinstance(namespace, str) or not NAME.fullmatch(namespace):
        return None
    find_cluster(project, stack, cluster)
    return Place(service, namespace, cluster, stack)
