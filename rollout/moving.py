"""What a runner of many rollouts does in the thread of one of them: runs it, or a group, with Prometheus' numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from kube import kubeconfig
from rollout import group_acting, group_runner, runner
from rollout.found import FoundGroup, Group, Service
from rollout.group_record import planned_of
from rollout.group_runner import GroupEnd
from rollout.prometheus_readings import Connect, PrometheusReadings
from rollout.runner import RunEnd
from rollout.turns import OnLook

if TYPE_CHECKING:
    from kube.kubeconfig import ClusterAccess
    from rollout.collecting import ReadLimits
    from rollout.gating_facts import ReadGates
    from rollout.group_record import GroupRecord


class Moving:
    """Moves rollouts as `holder`, until `stop` is set; each method is for a thread of its own.

    `connect` opens the Prometheus for limits and gates. `on_look` is told of each look at a service's rollout, and
    `on_group_look` at a group's, in the thread that runs it. `move` is `rollout.runner.run`, `move_group`
    `rollout.group_runner.run_group`.
    """

    def __init__(
        self,
        access: ClusterAccess,
        holder: str,
        connect: Connect,
        *,
        on_look: Callable[[Service], OnLook] = lambda service: lambda record, decision: None,
        on_group_look: Callable[[Group], group_runner.OnLook] = lambda name: lambda group, records, decision: None,
        move: Callable[..., RunEnd] = runner.run,
        move_group: Callable[..., GroupEnd] = group_runner.run_group,
    ) -> None:
        self.stop = threading.Event()
        self._access = access
        self._holder = holder
        self._connect = connect
        self._on_look = on_look
        self._on_group_look = on_group_look
        self._move = move
        self._move_group = move_group

    def service(self, service: Service, *, once: bool) -> RunEnd:
        """Run the rollout of a service. Raises what `rollout.runner.run` raises."""
        readings = PrometheusReadings(self._connect)
        try:
            return self._move(
                self._access,
                service.namespace,
                service.name,
                self._holder,
                once=once,
                stop=self.stop,
                on_look=self._on_look(service),
                limits=readings.limits,
                gates=readings.gates,
            )
        finally:
            readings.close()

    def send_events(self, service: Service) -> None:
        """Send the events of a rollout that is not to be moved. Raises what `rollout.runner.send_events` raises."""
        runner.send_events(self._access, service.namespace, service.name, self._holder)

    def group(self, found: FoundGroup, *, begins: bool, once: bool) -> GroupEnd:
        """Run a group; if it `begins`, write its record first. Raises what `group_acting.start` and `run_group` do."""
        group = self._begun(found) if begins or found.group is None else found.group
        with ExitStack() as opened:

            def readings(service: str) -> tuple[ReadLimits, ReadGates]:
                one = PrometheusReadings(self._connect)  # each service has blocks of its own
                opened.callback(one.close)
                return one.limits, one.gates

            return self._move_group(
                self._access,
                group,
                self._holder,
                once=once,
                stop=self.stop,
                on_look=self._on_group_look(found.name),
                readings=readings,
            )

    def _begun(self, found: FoundGroup) -> GroupRecord:
        named = {service: one for service, one in found.records.items() if one.plan.group is not None}
        with kubeconfig.client(kubeconfig.choose(self._access)) as client:
            return group_acting.start(client, planned_of(named), self._holder)
