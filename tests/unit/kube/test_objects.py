"""Resource classes for kinds that lightkube has, and for those that it does not have."""

from __future__ import annotations

import subprocess
import sys

import pytest

KINDS = (
    ("v1", "Namespace", False),
    ("v1", "Service", True),
    ("apps/v1", "Deployment", True),
    ("networking.istio.io/v1", "VirtualService", True),
    ("v1", "Namespace", False),
)
PROGRAM = """
{before}
from kube.objects import custom_resource_definitions, kind_of
for api_version, kind, namespaced in {kinds}:
    assert kind_of(api_version, kind, namespaced=namespaced)._api_info.resource.kind == kind
custom_resource_definitions()
{after}
"""
TYPED = "from lightkube.resources import apps_v1, core_v1"


@pytest.mark.parametrize(("before", "after"), [(TYPED, ""), ("", TYPED)], ids=["typed first", "typed last"])
def test_every_kind_has_one_class_whatever_was_imported_before(before: str, after: str) -> None:
    program = PROGRAM.format(kinds=KINDS, before=before, after=after)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
