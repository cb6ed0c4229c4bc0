"""One verdict on several services that are rolled out together: their e-values averaged, each with weight 1/n.

The average of e-values is an e-value, whatever depends on what, so that one alpha holds for the whole group. Data,
split and proof are still asked of each service; only harm and suspicion are of the group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log

from rollout.gates.decide import Answer, Verdict, e_words, worst_words
from rollout.gates.mixture import log_mean
from rollout.gates.plan import SUSPICION

NOTHING_KNOWN = (Answer.NO_DATA, Answer.SPLIT_WRONG)


def log_average(verdicts: Mapping[str, Verdict | None]) -> float:
    """Return the logarithm of the services' average e-value; one without a verdict has said nothing yet, which is 1."""
    return log_mean([0.0 if one is None else one.log_e for one in verdicts.values()])


def one_verdict(verdicts: Mapping[str, Verdict | None], alpha: float) -> dict[str, Verdict | None]:
    """Return the services' verdicts with harm and suspicion as the whole group has them, at significance `alpha`.

    The service with the most evidence is the one that is told to be harmful, or suspect: it holds all others.
    """
    if not verdicts:
        return {}
    log_e = log_average(verdicts)
    worst = max(verdicts, key=lambda name: log_e_of(verdicts[name]))
    return {name: _of_group(name, one, log_e, alpha, verdicts, worst) for name, one in verdicts.items()}


def log_e_of(verdict: Verdict | None) -> float:
    """Return the logarithm of a service's own e-value."""
    return 0.0 if verdict is None else verdict.log_e


def _of_group(
    name: str,
    own: Verdict | None,
    log_e: float,
    alpha: float,
    verdicts: Mapping[str, Verdict | None],
    worst: str,
) -> Verdict | None:
    if own is None or own.certain or own.answer in NOTHING_KNOWN:
        return own
    answer, reason = _calm(own)
    if name == worst and log_e >= log(SUSPICION):
        answer = Answer.HARM if log_e >= log(1 / alpha) else Answer.SUSPECT
        found = worst_words(own.metrics) if own.metrics else own.reason
        services = "1 service" if len(verdicts) == 1 else f"{len(verdicts)} services"
        may_be = "is" if answer is Answer.HARM else "may be"
        reason = f"the canary {may_be} worse (e = {e_words(log_e)} of {1 / alpha:.0f} over {services}): {found}"
    return replace(own, answer=answer, reason=reason, log_e=log_e)


def _calm(own: Verdict) -> tuple[Answer, str]:
    if own.calm is not None:
        return own.calm
    return (Answer.HOLD if own.answer in (Answer.HARM, Answer.SUSPECT) else own.answer), own.reason
