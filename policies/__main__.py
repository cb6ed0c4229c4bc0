"""The policy pack that Pulumi runs: `pulumi preview --policy-pack policies`."""

from __future__ import annotations

import sys
from pathlib import Path

# The pack also runs where the project is not installed. Python has put this folder first on its path, where
# resource.py would hide the standard library's module.
FOLDER = Path(__file__).resolve().parent
sys.path[:] = [str(FOLDER.parent), *(path for path in sys.path if Path(path).resolve() != FOLDER)]


def main() -> None:
    """Serve the policies to Pulumi's engine; exit with 1 and a message if the configuration is wrong."""
    from pulumi_policy import PolicyPack

    from policies import configuration, pack
    from policies.policy_error import PolicyError

    try:
        values = configuration.read_values()
        configuration.parse(values, configuration.shown_path(configuration.FILE))
        before = pack.state_before()
    except PolicyError as error:
        sys.exit(f"error: {error}")
    PolicyPack(pack.NAME, policies=pack.policies(before), initial_config=pack.initial_config(values))


if __name__ == "__main__":
    main()
