"""What is refused, or said, of a service whose file and rollout do not fit, each with its fix."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rollout.decision import phase_text
from rollout.record import Bar, Phase, Record, Release
from rollout.schedule import ScheduleError
from stacks.settings.model import ServiceSettings
from stacks.settings.problems import Location, Problem, key_path
from traffic.proportions import percent_words

FORCE = "PULUMI_K8S_ENABLE_PATCH_FORCE"
"""With it the provider overwrites what others own: a stale `up` would bring a version back."""


@dataclass(frozen=True)
class Refusals:
    """The problems and warnings of one service."""

    name: str
    service: ServiceSettings
    file: str

    def unreadable(self, reason: str) -> Problem:
        """The record may not be read, or is damaged: how far the rollout is, is not known."""
        what, _, fix = reason.partition("\n")
        return self._problem(
            (),
            f"how far its rollout is cannot be read: {what}",
            "a record that can be read: otherwise an aborted version could come back",
            re.sub(r"^\s*fix:\s*", "", fix),
        )

    def not_planned(self, error: ScheduleError) -> Problem:
        """The rollout cannot begin from where the requests go now."""
        what, allowed, fix = re.split(r"\n\s*(?:allowed|fix):\s*", str(error))
        return self._problem(("route",), what, allowed, fix)

    def changed_in_place(self, version: str) -> Problem:
        """A version with requests gets another template: all of them would move at once."""
        return self._problem(
            ("versions", version),
            f"{version} gets requests and its pods are changed in place: all of them would run the new state at once, "
            "without the rollout",
            "the template that the version has had since its rollout (numbers of pods may change)",
            f"keep {version} as it is, add a new version with the new state, and write its name in `to`; "
            "or remove `rollout` from the rules to have the change at once",
        )

    def origin_gone(self, origin: str, target: str) -> Problem:
        """The version that the rollout comes from is not deployed by the stack."""
        has = origin in self.service.versions
        return self._problem(
            ("versions",),
            f"the requests go to {origin} now, which {'the stack does not deploy' if has else 'is missing here'}: "
            f"a rollout to {target} needs it, and it is the way back",
            "both versions of a rollout, each with an image",
            f"give the rules weights by hand instead of a rollout, since {origin} is outside the stack"
            if has
            else f"restore {origin} until the rollout is over",
            f"the versions {', '.join(self.service.versions)}",
        )

    def barred(self, bar: Bar) -> Problem:
        """A warning: the release that the file leads to was aborted."""
        return self._problem(
            ("route",),
            f"{bar.version} gets no requests: its release was aborted at {bar.at} by {bar.by}: {bar.reason}",
            "a release that was not aborted",
            f"name a new version; or, if the reason is gone, run `canary rollout retry {self.name} REASON`",
        )

    def lifted(self, index: int, bar: Bar) -> Problem:
        """A rule without a rollout leads to a release that was aborted."""
        return self._problem(
            ("route", index, "to"),
            f"{bar.version} would get requests again, but its release was aborted at {bar.at} by {bar.by}: "
            f"{bar.reason}",
            "no more requests for a release that was aborted than it gets now",
            f"lead the rule to another version; or, if the reason is gone, run `canary rollout retry {self.name} "
            "REASON` first",
            bar.version,
        )

    def still_pending(self, record: Record) -> Problem:
        """A warning: the file does not ask for the rollout any more that waits for its start."""
        return self._problem(
            ("route",),
            f"the rollout {record.id} to {record.target.version} waits for its start, though the file does not ask for "
            "it any more",
            "a rollout that the file asks for",
            f"run `canary rollout abort {self.name}`, if nobody is to start it",
        )

    def withdrawn(self, record: Record) -> Problem:
        """A warning: this `up` ends a rollout that waits for its start, since it changes or removes its pods."""
        return self._problem(
            ("route",),
            f"the rollout {record.id} to {record.target.version} has not started, and this `up` makes other pods of "
            "its versions than it is about: it ends, and no requests move",
            "both versions of a rollout as they were when it began",
            "none needed if intended",
        )

    def way_back(self, record: Record, release: Release) -> Problem:
        """A version of a rollout under way is removed or changed."""
        version = release.version
        is_gone = version not in self.service.deployed
        why = "the way back" if version == record.from_.version else f"what {self.share_words(record)} run"
        until = (
            f"until the rollout is closed ({record.strategy.keep_previous} after its end)"
            if record.phase is Phase.COMPLETED
            else f"until the rollout is over, or run `canary rollout abort {self.name}` first"
        )
        return self._problem(
            ("versions",) if is_gone else ("versions", version),
            f"{version} is {'removed' if is_gone else 'changed'} while the rollout {record.id} is under way "
            f"({phase_text(record)}): it is {why}",
            "both versions of a rollout as they were when it began, until it is closed or aborted",
            f"restore {version} {until}",
            f"the versions {', '.join(self.service.versions)}" if is_gone else "",
        )

    def share_words(self, record: Record) -> str:
        """Return which requests the new version gets: `30 % of the requests`."""
        return f"{percent_words(record.target_weight())} of the requests"

    def frozen(self, record: Record) -> Problem:
        """The route is changed while a rollout is under way."""
        return self._problem(
            ("route",),
            f"{self.name} is in a rollout ({record.id}, {phase_text(record)}), and its route differs in more than the "
            "rollout's weights from the one that it began with",
            f"the same route until it is over; or `to: {record.from_.version}` in its rules, to go back",
            f"wait for its end, promote or abort it (`canary rollout status {self.name}`); or run `canary up "
            f"--during-rollout {self.name}`, which hands the route over first and pauses",
        )

    def other_weights(self, record: Record) -> Problem:
        """The rules that are rolled out lead elsewhere than the rollout, or are not there any more."""
        ends = record.target.version
        return self._problem(
            ("route",),
            f"{self.name} is in a rollout ({record.id}, {phase_text(record)}), and its rules lead elsewhere: the "
            "rollout decides how many of their requests each version gets",
            f"`to: {ends}` with its rollout until it is over; or `to: {record.from_.version}` in its rules, to go back",
            f"restore the rules; `canary rollout promote {self.name} --full` moves all to {ends} without further "
            f"holds, `canary rollout abort {self.name}` goes back",
        )

    def adopts(self, record: Record) -> Problem:
        """With adopt, an `up` would overwrite what the rollout owns."""
        return self._problem(
            ("adopt",),
            f"with adopt, this `up` would overwrite the routes of the rollout {record.id} ({phase_text(record)})",
            "a service without adopt until its rollout is over",
            "remove adopt",
            "true",
        )

    def third(self, record: Record, version: str) -> Problem:
        """The file names a third version while a rollout is under way."""
        return self._problem(
            ("route",),
            f"{self.name} is in a rollout from {record.from_.version} to {record.target.version} "
            f"({record.id}, {phase_text(record)}), and the file leads to {version}",
            f"{record.target.version}, or {record.from_.version} to go back",
            "wait for its end, promote or abort it; or set `onSupersede: abort` in its strategy before it begins",
            version,
        )

    def goes_back_first(self, record: Record, version: str) -> Problem:
        """The next rollout must wait until the last one is back."""
        return self._problem(
            ("route",),
            f"the rollout {record.id} goes back ({phase_text(record)}), and the file leads to {version}",
            "the next rollout once it is over",
            f"run `canary rollout abort {self.name}`, which brings it to its end, then `canary up` again",
            version,
        )

    def goes_back(self, text: str) -> Problem:
        """A warning: what this `up` takes back."""
        return self._problem(
            ("route",), text, "what the file says", f"none needed if intended; see `canary rollout status {self.name}`"
        )

    def other_steps(self, record: Record) -> Problem:
        """A warning: a strategy was changed while its rollout is under way."""
        return self._problem(
            ("route",),
            f"the rollout {record.id} goes on with the steps that it began with ({phase_text(record)}); the file has "
            "other ones",
            "other steps for the next rollout",
            f"none needed; to have them now, run `canary rollout abort {self.name}`, then `canary rollout retry`",
        )

    def forced(self, given: str) -> Problem:
        """The provider would overwrite what the rollout owns."""
        return Problem(
            path=FORCE,
            what=f"the environment variable lets every `up` overwrite the routes of a rollout ({self.name}): one that "
            "read older weights would bring a version back",
            given=given,
            allowed="unset, or false, for a stack with rollouts",
            fix=f"unset {FORCE}",
        )

    def _problem(self, place: Location, what: str, allowed: str, fix: str, given: str = "") -> Problem:
        path = key_path(("services", self.name, *place))
        return Problem(path=path, what=what, given=given, allowed=allowed, fix=fix, file=self.file)
