"""Requests that meet some conditions and, of each of other sets of conditions, not all: a search over classes.

The classes of a part that are still possible are the bits of a number; the lowest bit is the simplest class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from traffic.diff.branches import Branch, Check
from traffic.diff.content import PATH, Class, Content, Part, part_of

MOST_STEPS = 3_000
"""Steps after which a search ends without having tried everything."""
Possible = tuple[int, ...]
"""The classes that are possible, by the number of the part."""
Holding = tuple[tuple[int, int], ...]
"""For each of some checks, the number of its part and the classes for which it holds."""


class Search:
    """A search among the classes of parts; `is_complete` is false once it has given up."""

    def __init__(self, classes: Mapping[Part, Sequence[Class]]) -> None:
        self.is_complete = True
        self._parts = list(classes)
        self._classes = list(classes.values())
        self._number = {part: number for number, part in enumerate(self._parts)}
        self._all: Possible = tuple((1 << len(options)) - 1 for options in self._classes)
        self._held: dict[tuple[Check, int], tuple[int, int]] = {}
        self._steps = 0

    def holding(self, branch: Branch, side: int) -> Holding:
        """Return where the checks of a branch hold in the mesh of a side; see `classes`."""
        return tuple(self._holds(check, side) for check in branch.checks)

    def contents(self, required: Holding, excluded: Sequence[Holding]) -> Iterator[dict[Part, Content]]:
        """Yield contents for which all `required` hold, and not all of any of `excluded`; roughly simple ones first.

        The contents that are yielded differ in their paths.
        """
        possible = list(self._all)
        for number, held in required:
            possible[number] &= held
        self._steps = 0
        solved = self._solved(tuple(possible), excluded, 0) if all(possible) else None
        if solved is None:
            return
        chosen = {part: self._classes[number][_lowest(solved[number])] for number, part in enumerate(self._parts)}
        contents = {part: one.content for part, one in chosen.items()}
        if PATH not in contents:
            yield contents
            return
        paths = self._classes[self._number[PATH]]
        for index, path in enumerate(paths):
            if solved[self._number[PATH]] >> index & 1:
                yield {**contents, PATH: path.content}

    def _holds(self, check: Check, side: int) -> tuple[int, int]:
        key = check, side
        if key not in self._held:
            number = self._number[part_of(check.condition)]
            options = enumerate(self._classes[number])
            held = sum(1 << index for index, one in options if (check.condition, side) in one.holding)
            self._held[key] = number, held
        return self._held[key]

    def _solved(self, possible: Possible, excluded: Sequence[Holding], first: int) -> Possible | None:
        """What is possible, reduced so that all of it avoids what is excluded; None if there is no such request.

        What is excluded before the index `first` is avoided already.
        """
        self._steps += 1
        if self._steps > MOST_STEPS:
            self.is_complete = False
            return None
        met = next((index for index in range(first, len(excluded)) if _may_meet(possible, excluded[index])), None)
        if met is None:
            return possible
        ways = []
        for number, held in excluded[met]:
            left = possible[number] & ~held
            if left:
                ways.append((self._classes[number][_lowest(left)].cost, number, left))
        for _, number, left in sorted(ways):
            found = self._solved((*possible[:number], left, *possible[number + 1 :]), excluded, met + 1)
            if found is not None:
                return found
        return None


def _may_meet(possible: Possible, checks: Holding) -> bool:
    """Whether something that is possible meets all of the checks."""
    left: dict[int, int] = {}
    for number, held in checks:
        remaining = left.get(number, possible[number]) & held
        if not remaining:
            return False
        left[number] = remaining
    return True


def _lowest(possible: int) -> int:
    return (possible & -possible).bit_length() - 1
