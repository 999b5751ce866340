"""A store rebuilt from its journal alone, to be compared with what the store says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from ..errors import TriforiumError
from .application import LinkKey, Row, State, Writes, content_of, plan
from .changes import Changeset, op_from_json
from .ids import JSON

Plain: TypeAlias = Mapping[str, Any]
"""A row of a dump."""

_DERIVED = ("keys", "confidence", "cluster", "summary", "status", "outcome", "hold", "revision")
_IDENTITY = ("tier", "scope", "trial", "text", "expired", "gaps", "visible_from")


class Replay:
    """Applies the journal to an empty state, entry by entry.

    Attributes:
        problems: What did not go as the journal says, a sentence each.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._state = State()
        self._added: dict[str, tuple[int, str]] = {}
        self._versions: set[str] = set()
        self._live: dict[LinkKey, tuple[float, int]] = {}
        self._links: list[str] = []
        self._credits: set[str] = set()

    def read(self, entries: Sequence[Plain]) -> bool:
        """Apply the entries of a dump in order.

        Returns:
            Whether all of them could be applied.
        """
        for entry in entries:
            try:
                self._apply(entry)
            except (TriforiumError, KeyError, TypeError, ValueError) as error:
                self.problems.append(
                    f"The journal cannot be replayed at position {entry['position']}: "
                    f"{type(error).__name__}: {str(error)[:200]}"
                )
                return False
        return True

    def _apply(self, entry: Plain) -> None:
        changeset = Changeset(
            id=entry["id"],
            scope=entry["scope"],
            base=entry["base"],
            actor=entry["actor"],
            reason=entry["reason"],
            ops=tuple(op_from_json(op) for op in entry["ops"]),
        )
        position = int(entry["position"])
        content = content_of(changeset)
        now = datetime.fromisoformat(entry["created_at"])
        writes = plan(self._state, changeset, content, position, now)
        if content[1] != entry["hash"]:
            self.problems.append(f"The changeset at position {position} is not what was hashed.")
        if json.loads(writes.before) != entry["before"]:
            self.problems.append(
                f"The journal keeps other images at position {position} than were there."
            )
        self._collect(writes)
        self._state.absorb(writes)
        for row in writes.published:
            # A closed trial hides nothing any more.
            self._state.hidden.pop(row.id, None)

    def _collect(self, writes: Writes) -> None:
        position = writes.position
        for row in writes.added:
            self._added[row.id] = (position, writes.now)
        for one in writes.versions:
            self._versions.add(_text(one.id, one.until, *(one.image[name] for name in _DERIVED)))
        for key in writes.expired_links:
            weight, added = self._live.pop(key)
            self._links.append(_text(*key, weight, added, position))
        for link in writes.links:
            self._live[link.key] = (link.weight, position)
        for op in writes.credits:
            deltas = (op.uses, op.helped, op.hurt)
            self._credits.add(_text(op.id, op.role, op.receipt, position, *deltas))

    # --- comparing ----------------------------------------------------------------------------

    def compare(
        self,
        records: Sequence[Plain],
        versions: Sequence[Plain],
        links: Sequence[Plain],
        credits: Sequence[Plain],
    ) -> None:
        """Note where the rows of a dump differ from what the journal leads to."""
        self.problems += self._compare_records(records)
        self._compare_rows(
            "image",
            self._versions,
            {_text(one["id"], one["until"], *(one[name] for name in _DERIVED)) for one in versions},
        )
        live = [_text(*key, weight, added, None) for key, (weight, added) in self._live.items()]
        names = ("src", "dst", "type", "via", "weight", "added", "expired")
        self._compare_rows(
            "link",
            {*self._links, *live},
            {_text(*(one[name] for name in names)) for one in links},
        )
        names = ("id", "role", "receipt", "position", "uses", "helped", "hurt")
        self._compare_rows(
            "delta of credit",
            self._credits,
            {_text(*(one[name] for name in names)) for one in credits},
        )

    def _compare_records(self, records: Sequence[Plain]) -> Iterator[str]:
        rows = self._state.rows
        for one in records:
            row = rows.get(one["id"])
            if row is None:
                yield f"The record {one['id']!r} is in no changeset of the journal."
                continue
            differ = sorted(self._differences(row, one))
            if differ:
                yield (
                    f"The record {one['id']!r} differs from what the journal leads to in "
                    f"{', '.join(differ)}."
                )
        for id_ in rows.keys() - {one["id"] for one in records}:
            yield f"The record {id_!r} is in the journal and not in the store."

    def _differences(self, row: Row, one: Plain) -> Iterator[str]:
        image = row.image()
        for name in _DERIVED:
            if image[name] != one[name]:
                yield name
        for name in _IDENTITY:
            mine = getattr(row, name)
            theirs = tuple(one[name] or ()) if name == "gaps" else one[name]
            if mine != theirs:
                yield name
        if row.hash != one["content_hash"]:
            yield "content"
        if self._added[row.id] != (one["added"], one["created_at"]):
            yield "time"

    def _compare_rows(self, what: str, mine: set[str], theirs: set[str]) -> None:
        for one in sorted(mine - theirs):
            self.problems.append(f"The journal leads to the {what} {one}, which is not there.")
        for one in sorted(theirs - mine):
            self.problems.append(f"There is the {what} {one}, to which no changeset led.")


def _text(*values: JSON) -> str:
    # A store may give 1.0 for 1.
    plain = [float(one) if isinstance(one, int) else one for one in values]
    return json.dumps(plain, sort_keys=True, ensure_ascii=False)
