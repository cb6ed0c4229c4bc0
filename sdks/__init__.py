"""Packages of this tree that are installable by themselves. Importing `sdks` makes them importable.

`make setup` installs them with the project. `pulumi install` reads only requirements.txt, where every package has a
hash, which a folder cannot have.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("pulumi_kubernetes_istio_crds") is None:
    sys.path.append(str(Path(__file__).parent / "pulumi_kubernetes_istio_crds"))
