"""docs/crds.md: its program runs, in a project that has the package alone."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.mocks import Deploy

PAGE = Path(__file__).parents[2] / "docs/crds.md"


def test_the_program_of_the_page_makes_a_virtual_service(deploy: Deploy) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    run = deploy(lambda: exec(compile(program, PAGE.name, "exec"), {"__name__": "__main__"}))  # noqa: S102
    assert run.named("website").type == "kubernetes:networking.istio.io/v1:VirtualService"
    assert run.named("website").metadata == {"name": "website", "namespace": "shop"}
    assert run.named("website").spec == {
        "hosts": ["website"],
        "http": [
            {
                "route": [
                    {"destination": {"host": "website", "subset": "version-1"}, "weight": 90},
                    {"destination": {"host": "website", "subset": "version-2"}, "weight": 10},
                ]
            }
        ],
    }
