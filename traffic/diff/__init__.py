"""What a change of route tables does: rules that differ, and requests that go elsewhere, found by simulation.

No group of requests is missed that the boundaries of the matches can show: a request is built for each two matches,
one of each table, that can decide the same request differently.
"""

from traffic.diff.effect import Change, Effect, Part, changes, effect, percent
from traffic.diff.rules import RuleChange, RuleChangeKind, changed_rules
from traffic.diff.traffic_diff import Group, ServiceDiff, TrafficDiff, Witness, traffic_diff
from traffic.diff.values import ValueChange, WeightChange, rule_changes, value_changes

__all__ = [
    "Change",
    "Effect",
    "Group",
    "Part",
    "RuleChange",
    "RuleChangeKind",
    "ServiceDiff",
    "TrafficDiff",
    "ValueChange",
    "WeightChange",
    "Witness",
    "changed_rules",
    "changes",
    "effect",
    "percent",
    "rule_changes",
    "traffic_diff",
    "value_changes",
]
