"""The messages that the README shows are the program's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stacks.settings.loading import load_stack
from stacks.settings.problems import SettingsError

README = Path(__file__).parent.parent.parent / "README.md"
MISTAKEN = """\
config:
  istio-canary:samples: [website]
  istio-canary:services:
    website:
      replicaz: 2
      route:
        - to: { version-1: 90, version-3: 11 }
"""


def test_the_mistakes_that_the_readme_shows_are_told_in_these_words(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(MISTAKEN)
    with pytest.raises(SettingsError) as caught:
        load_stack(file)
    shown = re.findall(r"^```text\nerror: (.*?)\n```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert shown == [str(caught.value)]
