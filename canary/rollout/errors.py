"""What can go wrong around a rollout, as the errors of commands: what, details, fix and exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from canary.rollout.place import Place

FIX = re.compile(r"(?:\n\s+|; )fix:\s+")


def of_text(text: str, code: ExitCode, place: Place) -> CommandError:
    """Return the error for a text of several lines whose last may be `fix:`."""
    said, *fixes = FIX.split(text, maxsplit=1)
    first, *details = said.splitlines()
    fix = " ".join(fixes[0].split()) if fixes else ""
    lines = tuple(place.completed(line.strip()) for line in details)
    return CommandError(place.completed(first), code, place.completed(fix), lines)


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """End the command with a message if the block finds what only a person can put right.

    A command that the rollout's state does not allow, and a cluster that refuses, have changed nothing.
    """
    from kube.conflicts import ConflictError
    from kube.kubeconfig import ClusterUnreachableError
    from kube.server_clock import ServerTimeUnknownError
    from rollout.acting import NotCarriedOutError
    from rollout.decision import RefusedError
    from rollout.look import NoRolloutError
    from rollout.record import RecordError
    from rollout.routes import RouteRefusedError, VirtualServiceGoneError
    from rollout.store import NameTakenError
    from rollout.stored_routes import StoredRoutesError

    try:
        yield
    except RefusedError as error:
        raise CommandError(place.completed(error.what), ExitCode.CONFIG, place.completed(error.fix)) from None
    except ClusterUnreachableError as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from None
    except NoRolloutError:
        from canary.rollout.reading import why_none

        raise why_none(place) from None
    except NotCarriedOutError as error:
        raise of_text(str(error), ExitCode.FAILED, place) from None
    except (RecordError, StoredRoutesError, RouteRefusedError, ServerTimeUnknownError, NameTakenError) as error:
        raise of_text(str(error), ExitCode.FAILED, place) from None
    except VirtualServiceGoneError as error:
        what = of_text(str(error), ExitCode.FAILED, place)
        what.fix = what.fix or f"{place.up}, which creates it and begins a new rollout"
        raise what from None
    except ConflictError as error:
        again = "run the same command again; if that does not help, see who writes the record (kubectl get --watch)"
        raise CommandError(str(error), ExitCode.FAILED, fix=again) from None
