"""The plugin's entry point: ``python -m sandbox.provider [options] <engine address>``."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


def _leave_out_sdk() -> None:
    """Make ``pulumi.runtime.proto`` importable without the SDK around it, which takes half a second to import."""
    spec = find_spec("pulumi")
    folders = [Path(folder) for folder in spec.submodule_search_locations or []] if spec else []
    for name, paths in (("pulumi", folders), ("pulumi.runtime", [folder / "runtime" for folder in folders])):
        package = ModuleType(name)
        package.__path__ = [str(path) for path in paths]
        sys.modules[name] = package


if __name__ == "__main__":
    _leave_out_sdk()
    from sandbox.provider.server import serve

    sys.exit(serve(sys.argv[1:]))
