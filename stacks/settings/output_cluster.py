"""What clusters have in common whose kubeconfig is an output of a stack."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import PrivateAttr

from kube.late_kubeconfig import LateKubeconfig
from traffic.fields import Model


class FromOutput(Model):
    """A cluster whose kubeconfig is a secret output of a stack, and known only when the cluster exists."""

    is_created: ClassVar[bool] = True
    """Whether the stack creates the cluster itself."""
    _late: LateKubeconfig = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        self._late = LateKubeconfig(self.words)

    @property
    def words(self) -> str:
        """How messages name the cluster."""
        raise NotImplementedError

    @property
    def kubeconfig(self) -> None:
        """None: it is no file."""
        return

    @property
    def context(self) -> None:
        """None: the text has one context."""
        return

    @property
    def late(self) -> LateKubeconfig:
        """Where the kubeconfig's text comes from."""
        return self._late
