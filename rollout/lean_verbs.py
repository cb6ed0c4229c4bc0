"""What `abort`, `promote` and `resume` write first, without this project's types and libraries.

Their imports take longer than all the rest. Each verb makes of a record what that of `verbs` makes of it when nothing
stands against it; in any other case it raises NotSimpleError, and nothing is written. Tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any

from rollout.lean import MANAGER, Api, NotSimpleError, barred_in, next_record, read, write
from rollout.stored_routes import BACK, StoredRoutesError, decoded

Written = Mapping[str, Any]
"""The entry of the record's history that a verb has written."""

Verb = Callable[[Mapping[str, Any], str], dict[str, Any]]
"""From the record, and the API server's time, to the record after it."""

ANNOTATION, BARRED_ANNOTATION = "istio-canary/rollout", "istio-canary/barred"
ISTIO_API = "networking.istio.io/v1"

RUNNING = ("Pending", "Progressing")
NOT_STARTED = -1
SHORTEST_STEP_DEADLINE, AUTO_FACTOR = 600.0, 3

NOT_DONE = (NotSimpleError, StoredRoutesError, HTTPException, OSError, ValueError, KeyError, TypeError)
"""What may be in the way: `acting.act`, which all commands come to, says what it is."""


def abort_at_once(
    kubeconfig: str | None, context: str | None, namespace: str, service: str, reason: str, by: str
) -> bool:
    """Bring all requests of a service's rollout back, and return whether the record and all routes were written.

    `kubeconfig` and `context` are those of `kube.kubeconfig.ClusterAccess`. `acting.act` helps an abort to its end,
    whatever of it was done here.
    """
    try:
        with Api(kubeconfig, context) as api:
            return abort_by(api, namespace, service, reason, by)
    except NOT_DONE:
        return False


def write_at_once(
    kubeconfig: str | None, context: str | None, namespace: str, service: str, verb: Verb
) -> Written | None:
    """Write what a verb makes of the record; return the history's entry if that was written, or may have been."""
    entry: Written | None = None
    try:
        with Api(kubeconfig, context) as api:
            found = read(api, namespace, service)
            after = verb(found.record, api.server_time)
            entry = after["history"][-1]
            write(api, found, after)
    except NOT_DONE:
        pass
    return entry


def abort_by(api: Api, namespace: str, service: str, reason: str, by: str) -> bool:
    """As `abort_at_once`, with a connection. Raises NotSimpleError before anything is written."""
    base = f"/apis/{ISTIO_API}/namespaces/{namespace}/virtualservices"
    # The VirtualServices first, the record after them: see `rollout.look`.
    seen = {one: api.get(f"{base}/{one}") for one in (service, f"{service}-mesh")}
    found = read(api, namespace, service)
    record = found.record
    uids = {one: item["metadata"]["uid"] for one, item in seen.items() if item is not None}
    if any(uids.get(one) != uid for one, uid in record["vsUids"].items()):
        raise NotSimpleError
    stored = api.get(f"/api/v1/namespaces/{namespace}/configmaps/{record['plan']['routes']}") or {}
    routes = decoded(record["plan"]["routes"], stored.get("data") or {}, stored.get("binaryData") or {})[BACK]
    if routes.keys() != record["vsUids"].keys():
        raise NotSimpleError
    after = aborted(record, reason, by, api.server_time)
    if not write(api, found, after):
        return False
    written = [
        api.patch(
            f"{base}/{one}?fieldManager={MANAGER}&force=true",
            "apply-patch+yaml",
            _applied(namespace, one, http, seen[one], after),
        )
        for one, http in routes.items()
    ]
    return all(written)


def aborted(record: Mapping[str, Any], reason: str, by: str, at: str) -> dict[str, Any]:
    """Return the record as `verbs.abort` makes it of a person's abort."""
    if record["phase"] not in (*RUNNING, "Completed") or "voidSince" in record or "group" in record["plan"]:
        raise NotSimpleError
    target = record["target"]
    bar = {"version": target["version"], "hash": target["hash"], "reason": reason, "by": by, "at": at}
    changes = {
        "phase": "Aborting",
        "wanted": record["plan"]["back"],
        "ended": {"kind": "aborted", "reason": reason, "by": by, "at": at},
        "deadlines": {},
        "bars": [*(one for one in record["bars"] if one["hash"] != target["hash"]), bar],
        **dict.fromkeys(("stage", "paused", "held", "promotion", "endedAt")),
    }
    text = f"all requests go back to {record['from']['version']}: {reason}"
    return next_record(record, changes, at=at, by=by, event="Aborting", text=text, routes=True)


def promoted(record: Mapping[str, Any], reason: str, by: str, at: str, *, full: bool = False) -> dict[str, Any]:
    """Return the record as `verbs.promote` makes it."""
    _refuse_unless_running(record)
    if "paused" in record or (record["step"] == NOT_STARTED and not full):
        raise NotSimpleError
    if not reason and "gates" in _strategy(record):
        raise NotSimpleError  # whether they let the step rise is to be read first
    promotion = {"step": record["step"], "by": by, "at": at, "reason": reason, "full": full, "despiteHarm": False}
    text = f"promoted by {by} at {_phase_text(record)}" + (f": {reason}" if reason else "")
    changes = {"promotion": promotion, "held": None}
    data = {"full": full, "despiteHarm": False}
    return next_record(record, changes, at=at, by=by, event="Promoted", text=text, data=data)


def resumed(record: Mapping[str, Any], by: str, at: str) -> dict[str, Any]:
    """Return the record as `verbs.resume` makes it, unless the routes have drifted."""
    _refuse_unless_running(record)
    if "paused" not in record or record.get("held", {}).get("reason") == "Drift":
        raise NotSimpleError
    changes = {"paused": None, "held": None, "deadlines": _renewed(record, at)}
    return next_record(record, changes, at=at, by=by, event="Resumed", text=f"resumed by {by}")


def _refuse_unless_running(record: Mapping[str, Any]) -> None:
    if record["phase"] not in RUNNING or "voidSince" in record or "group" in record["plan"]:
        raise NotSimpleError


def _phase_text(record: Mapping[str, Any]) -> str:
    if record["phase"] == "Progressing":
        return f"step {record['step'] + 1} of {len(record['plan']['steps'])}"
    return str(record["phase"])


def _renewed(record: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    """The deadlines begin again; NotSimpleError if they are not automatic, or that of the whole rollout is over."""
    before: Mapping[str, Any] = record["deadlines"]
    if "startedAt" not in record:
        return before
    plan, number = record["plan"], record["step"]
    step = plan["steps"][max(number, 0)]
    began, total = datetime.fromisoformat(at), before.get("totalAt")
    limit = _strategy(record)["deadline"]["step"]
    if limit != "auto" or (total is not None and datetime.fromisoformat(total) <= began):
        raise NotSimpleError
    hold = step["holdSeconds"] if number >= 0 else 0.0
    proofs = plan.get("deadlineSeconds", ())
    proof = proofs[number] if 0 <= number < len(proofs) else 0.0
    seconds = max(AUTO_FACTOR * hold, proof, SHORTEST_STEP_DEADLINE)
    return {**before, "stepAt": (began + timedelta(seconds=seconds)).isoformat()}


def _strategy(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The strategy of the rule that the current step, or else the first one, raises."""
    plan = record["plan"]
    found: Mapping[str, Any] = plan["rules"][plan["steps"][max(record["step"], 0)]["rule"]]["strategy"]
    return found


def _applied(
    namespace: str, name: str, http: Any, seen: Mapping[str, Any] | None, record: Mapping[str, Any]
) -> dict[str, Any]:
    assert seen is not None
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": seen["metadata"]["uid"],
        "resourceVersion": seen["metadata"]["resourceVersion"],
        "annotations": {
            ANNOTATION: f"{record['id']}/{record['routeGeneration']}",
            BARRED_ANNOTATION: ",".join(barred_in(record)),
        },
    }
    return {"apiVersion": ISTIO_API, "kind": "VirtualService", "metadata": metadata, "spec": {"http": http}}
