"""Does a store agree with its journal and with itself? Read only through the `Store` interface."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from .application import descent
from .records import Credit, LinkType, Outcome, Record, Status, Tier
from .replay import Plain, Replay
from .scopes import visible_scopes
from .store import SEARCHABLE, Store, View
from .text import index_terms

BATCH = 500
"""Records that are read at once."""
TERMS = 2048
"""Terms per scope and tier whose counts are checked: the most frequent."""
TEXT_TERMS = 32
"""Terms of one query text."""
SHOWN = 20
"""Problems of one kind that are told."""
_EVIDENCE = {"SUPPORTS": 0, "REFUTES": 1}


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        problems: A sentence each; none if all is well.
        notes: What could not be checked, and why.
        counts: How much of what was looked at.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    counts: Mapping[str, int]

    def __str__(self) -> str:
        looked = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        if not self.problems:
            return "\n".join([f"clean: {looked}", *self.notes])
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return "\n".join([f"{count} in {looked}:", *self.problems, *self.notes])


async def audit(store: Store, scope: str = "") -> tuple[str, ...]:
    """Problems of a store, a sentence each; none if all is well. See `examine`."""
    return (await examine(store, scope)).problems


async def examine(store: Store, scope: str = "") -> Audit:
    """Check a store.

    The journal has no gaps and its times rise; links have ends; counters of evidence and of credit
    are the sums that they should be; a record has as many images as changes; the indexes count what
    is there; vectors belong to records that are searched; closed trials are visible. And the whole
    journal, applied again to nothing, leads to the same records, images, links and credit.

    Args:
        store: Which; it may be in use, what is compared is of one instant.
        scope: What this scope sees; "" for everything.
    """
    dump: dict[str, list[Plain]] = defaultdict(list)
    async for row in store.dump(scope):
        # Nothing below looks at accounts, effects or the vectors themselves.
        dump[str(row["row"])].append({**row, "body": None, "result": None, "vector": None})
    found = _Examination(store, dump, whole=not scope)
    await asyncio.to_thread(found.check_rows)
    for one in sorted({record["scope"] for record in dump["record"]}):
        await found.check_scope(one)
    counts = {
        name: len(dump[kind])
        for kind, name in (
            ("journal", "changesets"),
            ("record", "records"),
            ("link", "links"),
            ("credit", "deltas of credit"),
        )
    }
    return Audit(tuple(found.problems), tuple(found.notes), counts)


class _Examination:
    def __init__(self, store: Store, dump: Mapping[str, Sequence[Plain]], *, whole: bool) -> None:
        self._store = store
        self._dump = dump
        self._whole = whole
        self._position = int(dump["header"][0]["position"])
        self._records = {one["id"]: one for one in dump["record"]}
        self.problems: list[str] = []
        self.notes: list[str] = []
        self._sums: _Expected | None = None

    def check_rows(self) -> None:
        """Everything that the rows of the dump tell by themselves."""
        for check in (
            self._journal,
            self._links,
            self._revisions,
            self._vectors,
            self._visibility,
            self._taint,
        ):
            self._note(check())
        journal = self._dump["journal"]
        if not self._whole or [one["position"] for one in journal] != list(
            range(1, self._position + 1)
        ):
            self.notes.append(
                "The journal was not replayed: it is that of a part of a store, and has gaps."
            )
            return
        replay = Replay()
        if replay.read(journal):
            kinds = ("record", "version", "link", "credit")
            replay.compare(*(self._dump[kind] for kind in kinds))
        self._note(iter(replay.problems))

    def _note(self, problems: Iterator[str]) -> None:
        self.problems.extend(islice(problems, SHOWN))
        more = sum(1 for _ in problems)
        if more:
            self.problems.append(f"... and {more:,} more like this.")

    # --- the rows -----------------------------------------------------------------------------

    def _journal(self) -> Iterator[str]:
        journal = self._dump["journal"]
        for a, b in pairwise(journal):
            if b["position"] <= a["position"]:
                yield f"The journal has position {b['position']} after {a['position']}."
            if b["created_at"] <= a["created_at"]:
                yield f"The time of position {b['position']} is not after that of {a['position']}."
        positions = {one["position"] for one in journal}
        if max(positions, default=0) > self._position:
            yield f"The journal goes beyond the position of the store, {self._position}."
        # What a part of a store shows was changed by changesets that are part of it.
        for kind, name in (("record", "added"), ("version", "until")):
            for one in self._dump[kind]:
                if one[name] not in positions:
                    yield (
                        f"The journal lacks position {one[name]}, which changed the record "
                        f"{one['id']!r}."
                    )

    def _links(self) -> Iterator[str]:
        live: Counter[tuple[str, ...]] = Counter()
        for link in self._dump["link"]:
            told = f"The link {link['src']!r} {link['type']} {link['dst']!r}"
            ends = [self._records.get(link[end]) for end in ("src", "dst")]
            if None in ends:
                yield f"{told} has an end that does not exist."
            if link["expired"] is not None:
                if link["expired"] <= link["added"]:
                    yield f"{told} ended before it began."
                continue
            if any(end is not None and end["expired"] is not None for end in ends):
                yield f"{told} is live, and one of its ends was taken away."
            live[link["src"], link["dst"], link["type"], link["via"]] += 1
        for key, count in live.items():
            if count > 1:
                yield f"The link {key[0]!r} {key[2]} {key[1]!r} is there {count} times."

    def _revisions(self) -> Iterator[str]:
        versions: dict[str, list[int]] = defaultdict(list)
        for one in self._dump["version"]:
            versions[one["id"]].append(one["revision"])
        for id_, record in self._records.items():
            if sorted(versions.pop(id_, [])) != list(range(1, record["revision"])):
                yield (
                    f"The record {id_!r} is at revision {record['revision']} and has not an image "
                    "of each before."
                )
        for id_ in versions:
            yield f"There are images of a record {id_!r} that does not exist."

    def _vectors(self) -> Iterator[str]:
        searchable = {tier.value for tier in SEARCHABLE}
        for one in self._dump["vector"]:
            record = self._records.get(one["id"])
            if record is None or record["tier"] not in searchable:
                yield f"There is a vector for {one['id']!r}, which is no record that is searched."

    def _visibility(self) -> Iterator[str]:
        for id_, record in self._records.items():
            if record["visible_from"] is not None:
                continue
            if record["tier"] == Tier.QUERY.value:
                closed: Plain | None = record
            else:
                closed = self._records.get(record["trial"])
            if (
                closed is not None
                and closed["outcome"] is not None
                and closed["scope"] == record["scope"]
                and closed["tier"] == Tier.QUERY.value
            ):
                yield f"The trial {closed['id']!r} is closed, and {id_!r} of it is still hidden."

    def _taint(self) -> Iterator[str]:
        """Taint is what follows from status and links."""
        if not self._whole:
            return
        children: dict[str, list[str]] = defaultdict(list)
        for one in self._dump["link"]:
            pair = descent((one["src"], one["dst"], LinkType(one["type"]), one["via"]))
            if pair is not None and one["expired"] is None and set(pair) <= self._records.keys():
                children[pair[0]].append(pair[1])
        wanted = {
            (id_, root)
            for root, record in self._records.items()
            if record["status"] == Status.QUARANTINED.value and record["expired"] is None
            for id_ in self._descendants(root, children)
        }
        live = [(t["id"], t["root"]) for t in self._dump["taint"] if t["expired"] is None]
        for id_, root in sorted(wanted - set(live)):
            yield f"The record {id_!r} descends from {root!r} in quarantine and is not tainted."
        for id_, root in sorted(set(live) - wanted):
            yield f"The record {id_!r} is tainted by {root!r} and does not descend from it."
        for (id_, root), count in Counter(live).items():
            if count > 1:
                yield f"The record {id_!r} is tainted {count} times by {root!r}."

    def _descendants(self, root: str, children: Mapping[str, Sequence[str]]) -> set[str]:
        scope = self._records[root]["scope"]
        reached, left = {root}, [root]
        while left:
            for id_ in children.get(left.pop(), ()):
                inner = self._records[id_]["scope"]
                if id_ not in reached and (inner == scope or inner.startswith(f"{scope}/")):
                    reached.add(id_)
                    left.append(id_)
        return reached - {root}

    # --- what Views say -----------------------------------------------------------------------

    async def check_scope(self, scope: str) -> None:
        """Compare what a View of a scope shows with the rows."""
        view = await self._store.view(scope)
        if view.position != self._position:
            self.notes.append(
                f"Scope {scope!r} was written to meanwhile; its counters were not checked."
            )
            return
        if self._sums is None:
            self._sums = await asyncio.to_thread(self._expected)
        own = [
            id_
            for id_, one in self._records.items()
            if one["scope"] == scope and one["expired"] is None and one["visible_from"] is not None
        ]
        problems: list[str] = []
        for start in range(0, len(own), BATCH):
            ids = own[start : start + BATCH]
            shown = await view.get(ids)
            for id_ in ids:
                problems += self._shown(id_, shown.get(id_), self._sums)
        self._note(iter(problems))
        for tier in sorted(SEARCHABLE):
            self._note(iter(await self._terms(view, tier)))
        if self._whole:
            self._note(iter(await self._sources(view)))

    async def _sources(self, view: View) -> list[str]:
        """Compare the counts of sources with a recount."""
        scopes = set(visible_scopes(view.scope))
        there = [one for one in self._records.values() if one["scope"] in scopes]
        names = sorted({one["source"] for one in there})
        wanted = {name: [0.0] * 6 for name in names}
        for one in there:
            own = wanted[one["source"]]
            for credit in (self._sums.credit if self._sums else {}).get(one["id"], {}).values():
                own[4] += credit.helped
                own[5] += credit.hurt
            if one["expired"] is not None:
                continue
            held = one["status"] == Status.QUARANTINED.value
            told = one["outcome"]
            value = None if held or told is None else Outcome.from_json(told).told
            own[0] += 1
            own[1] += held
            if value is not None:
                own[2] += value
                own[3] += 1.0 - value
        problems = []
        for name, found in (await view.sources(names)).items():
            shown = (
                found.records, found.quarantined, found.successes, found.failures, found.helped,
                found.hurt,
            )  # fmt: skip
            pairs = zip(shown, wanted[name], strict=True)
            if not all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6) for a, b in pairs):
                problems.append(
                    f"The counts of the source {name!r} in {view.scope!r} are not those of its "
                    "records."
                )
        return problems

    def _expected(self) -> _Expected:
        credit: dict[str, dict[str, Credit]] = defaultdict(dict)
        for one in self._dump["credit"]:
            own = credit[one["id"]]
            delta = Credit(one["uses"], one["helped"], one["hurt"])
            own[one["role"]] = own.get(one["role"], Credit()) + delta
        evidence: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for link in self._dump["link"]:
            if link["expired"] is None and link["type"] in _EVIDENCE:
                evidence[link["dst"]][_EVIDENCE[link["type"]]] += 1
        return _Expected(credit, evidence)

    def _shown(self, id_: str, record: Record | None, expected: _Expected) -> Iterator[str]:
        if record is None:
            yield f"The record {id_!r} is there and its scope does not see it."
            return
        row = self._records[id_]
        outcome = None if record.outcome is None else record.outcome.to_json()
        shown = (record.revision, record.status, list(record.keys), record.confidence, outcome)
        if shown != tuple(
            row[name] for name in ("revision", "status", "keys", "confidence", "outcome")
        ):
            yield f"A View shows the record {id_!r} otherwise than it is kept."
        if record.tier is not Tier.INTERACTION and self._whole:
            support, refuted = expected.evidence.get(id_, (0, 0))
            if (record.support, record.refuted) != (support, refuted):
                yield (
                    f"The record {id_!r} says it has {record.support} supports and "
                    f"{record.refuted} refutations; its live links are {support} and {refuted}."
                )
        sums = expected.credit.get(id_, {}) if self._whole else dict(record.credit)
        for role in sorted(sums.keys() | record.credit.keys()):
            if not _same(sums.get(role, Credit()), record.credit.get(role, Credit())):
                yield (
                    f"The credit of the record {id_!r} for the role {role!r} is not the sum of "
                    "its deltas."
                )

    async def _terms(self, view: View, tier: Tier) -> list[str]:
        """Compare the term statistics of a tier with a recount."""
        scopes = set(visible_scopes(view.scope))
        frequency, documents, terms = await asyncio.to_thread(self._recount, scopes, tier)
        # Ties are broken, so that two audits of one store look at the same.
        chosen = sorted(frequency, key=lambda term: (-frequency[term], term))[:TERMS]
        texts = [
            " ".join(chosen[start : start + TEXT_TERMS])
            for start in range(0, len(chosen), TEXT_TERMS)
        ]
        problems = []
        for text in texts or ["nothing"]:
            told = (await view.search([text], tiers=frozenset({tier}), k=1)).terms[tier]
            if (told.documents, told.terms) != (documents, terms):
                return [
                    f"The statistics of {tier.value} records in {view.scope!r} count "
                    f"{told.documents} records and {told.terms} terms; there are {documents} "
                    f"and {terms}."
                ]
            problems += [
                f"The term {term!r} is in {frequency[term]} {tier.value} records of "
                f"{view.scope!r}; the statistics say {count}."
                for term, count in told.frequency.items()
                if count != frequency[term]
            ]
        return problems

    def _recount(self, scopes: set[str], tier: Tier) -> tuple[Counter[str], int, int]:
        frequency: Counter[str] = Counter()
        documents = total = 0
        for one in self._records.values():
            counted = one["expired"] is None and one["visible_from"] is not None
            if counted and one["tier"] == tier.value and one["scope"] in scopes:
                found = index_terms(one["text"], one["keys"])
                frequency.update(set(found))
                documents += 1
                total += len(found)
        return frequency, documents, total


@dataclass(frozen=True, slots=True)
class _Expected:
    """What counters should say: credit per record and role, evidence per record."""

    credit: Mapping[str, Mapping[str, Credit]]
    evidence: Mapping[str, Sequence[int]]


def _same(a: Credit, b: Credit) -> bool:
    """Whether two sums are equal but for rounding, which depends on the order of adding."""
    pairs = ((a.uses, b.uses), (a.helped, b.helped), (a.hurt, b.hurt))
    return all(math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-6) for x, y in pairs)
