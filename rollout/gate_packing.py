"""Packs what a rollout's gates have seen and decided into the few bytes that a ConfigMap can keep, again and again.

A long rollout has megabytes of it, of which only a little is new each time: what was packed before stays packed, and
the text is never there as a whole.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence

from rollout.gate_file import HEAD_END, SCHEMA
from rollout.gates.blocks import Block
from rollout.gates.plan import GatePlan
from rollout.gates.replay import Decisions, Seen, begin_json, block_json, end_json

MOST_BYTES = 700_000
"""Bytes of packed decisions that fit into a ConfigMap beside the evidence; earlier runs are dropped first."""

_LEVEL, _GZIP = 9, 31
"""Of zlib: the smallest result, in gzip's format."""


class Packing:
    """The decisions of one rollout: of `earlier` runs, as `rollout.gates.replay.to_json` wrote them, and of one more.

    If they do not fit, the earliest runs are dropped. Of a single run that does not fit, decisions are left out whose
    answer is that of the ones around them; then its end, with the decisions that were made from it. What was left out
    once would not fit later either.
    """

    def __init__(self, rollout: str, earlier: Sequence[str] = ()) -> None:
        self.rollout = rollout
        self._earlier = [zlib.compress(one.encode()) for one in earlier]
        self._only_changes = False
        self._most_blocks: int | None = None
        self._plan: GatePlan | None = None
        self._begin()

    def packed(self, run: Decisions | None) -> bytes:
        """Return all in few bytes, none without a run. `run` is the present one, None before its first decision."""
        while run is not None or self._earlier:
            found = self._whole(run)
            if len(found) <= MOST_BYTES or not self._shorten():
                return found
        return b""

    def _shorten(self) -> bool:
        """Leave something out, for good; False if there is nothing more."""
        if self._earlier:
            del self._earlier[0]
        elif not self._only_changes:
            self._only_changes = True
        elif self._blocks:
            self._most_blocks = len(self._blocks) * 9 // 10
        else:
            return False
        self._begin()
        return True

    def _begin(self) -> None:
        """Pack from the beginning: the earlier runs."""
        self._blocks: tuple[Block, ...] = ()
        self._has_run = False
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        head = {"schema": SCHEMA, "rollout": self.rollout}
        self._content = bytearray(self._packer.compress(f"{json.dumps(head)[:-1]}{HEAD_END}".encode()))
        for index, one in enumerate(self._earlier):
            self._content += self._packer.compress((b",\n" if index else b"\n") + zlib.decompress(one))

    def _whole(self, run: Decisions | None) -> bytes:
        """All that is not left out, packed. What may be another one the next time comes last, and is not kept."""
        end, left_out = "", 0
        if run is not None:
            self._add(run.plan, run.blocks[: self._most_blocks])
            seen = _changes(run.seen) if self._only_changes else run.seen
            if self._most_blocks is not None:
                seen = tuple(one for one in seen if one.blocks <= len(self._blocks))
            end, left_out = end_json(seen), len(run.seen) - len(seen)
        last = self._packer.copy()
        return bytes(self._content) + last.compress(f'{end}\n],"leftOut":{left_out}}}'.encode()) + last.flush()

    def _add(self, plan: GatePlan, blocks: tuple[Block, ...]) -> None:
        """Pack the blocks that are new; all of them again if earlier ones have changed."""
        if self._has_run and (plan != self._plan or blocks[: len(self._blocks)] != self._blocks):
            self._begin()
        if not self._has_run:
            self._has_run, self._plan = True, plan
            self._content += self._packer.compress(((",\n" if self._earlier else "\n") + begin_json(plan)).encode())
        for index in range(len(self._blocks), len(blocks)):
            text = ("," if index else "") + block_json(blocks[index])
            self._content += self._packer.compress(text.encode())
        self._blocks = blocks


def _changes(seen: Sequence[Seen]) -> tuple[Seen, ...]:
    """The decisions without those whose answer is that of the ones around them."""
    last = len(seen) - 1
    return tuple(
        one
        for index, one in enumerate(seen)
        if index in (0, last) or len({near.answer for near in seen[index - 1 : index + 2]}) > 1
    )
