"""The jury: one vote a source, weighed by outcomes; blocs that share words hardly anyone uses."""

from __future__ import annotations

import pytest

from triforium.graph import Provenance, Record, SourceCounts, Tier
from triforium.memory.guard.jury import Statement, evidence, hear
from triforium.memory.guard.plan import code_plan_of
from triforium.memory.guard.spans import Usage, spelled, strength
from triforium.memory.guard.trust import weight, weights_of

LOOK = "d = Fetch('{table}')\nanswer = Take(d, '{column}')"
WIPE = "d = Fetch('{table}')\nWipe(d, '{column}')"
ASKED = {
    "fever": ("what was the last temperature of patient {n} on the ward", "vitals", "temperature"),
    "bill": ("how much did the whole stay of patient {n} cost", "bills", "amount"),
    "drug": ("which drug was prescribed to patient {n} at first", "drugs", "drugname"),
    "born": ("when was patient {n} born and where", "people", "birthday"),
}


def said(source: str, kind: str, n: int, *, code: str = LOOK, suffix: str = "") -> Statement:
    text, table, column = ASKED[kind]
    record = Record(
        id=f"{source}-{kind}-{n}{suffix}",
        tier=Tier.QUERY,
        kind="task",
        text=f"{text.format(n=n)} {suffix}".strip(),
        scope="s",
        provenance=Provenance(source),
    )
    return Statement(record, source, code_plan_of(code.format(table=table, column=column)))


HONEST = [said(f"clinic-{n % 6}", kind, 100 + n) for n in range(6) for kind in ASKED]
WEIGHTS = {f"clinic-{n}": 0.7 for n in range(6)}


def test_a_vote_weighs_what_the_outcomes_of_a_source_say() -> None:
    newcomer = weight(None)
    assert 0.0 < newcomer < 0.1
    known = [weight(SourceCounts(records=n, successes=float(n))) for n in (1, 4, 16)]
    assert newcomer < known[0] < known[1] < known[2] < 1.0
    assert weight(SourceCounts(records=4, successes=4.0, failures=4.0)) < known[1]
    assert weight(SourceCounts(records=4, successes=4.0, quarantined=4)) < known[1]
    assert weight(SourceCounts(records=4, successes=4.0), accused=4) == newcomer
    assert weight(SourceCounts(records=9)) == newcomer, "without outcomes nobody is known"


def test_where_nobody_has_a_record_each_source_counts_the_same() -> None:
    unknown = {"ann": SourceCounts(records=3), "bob": SourceCounts(records=90)}
    assert weights_of(unknown, {"bob": 90}) == {"ann": 1.0, "bob": 1.0}
    known = weights_of({**unknown, "cid": SourceCounts(records=2, successes=2.0)}, {})
    assert known["ann"] == known["bob"] == weight(None) < known["cid"] / 4


def test_words_of_few_sources_are_rare_and_numbers_do_not_count() -> None:
    texts = [("a", "wash the mug 12"), ("b", "wash the pan"), ("c", "zorp the mug 12")]
    usage = Usage(texts, dict.fromkeys("abc", 1.0), [text for _, text in texts])
    assert usage.support("the") == 3.0
    rare = usage.rare("zorp the mug 12", known=2.0)
    assert "zorp" in rare
    assert ("zorp", "the") in rare
    assert not {"the", "mug", ("the", "mug"), "12"} & rare
    assert spelled(rare) == {"zorp", "the"}
    assert strength({"zorp"}) > strength({("zorp", "the")})


def test_copies_of_one_source_have_one_vote() -> None:
    accused = said("clinic-9", "bill", 7, code=WIPE)
    copies = [said("clinic-1", "bill", n) for n in range(20, 40)]
    others = [said(f"clinic-{n}", "bill", n) for n in range(3)]
    (by_copies,) = hear("cost of the stay", [accused], copies, {"clinic-1": 0.7})
    (by_others,) = hear("cost of the stay", [accused], others, WEIGHTS)
    assert len(by_copies.voices) == 1
    assert len(by_others.voices) == 3
    assert 0 < by_copies.evidence < by_others.evidence


def test_nobody_independent_means_no_evidence() -> None:
    accused = said("clinic-9", "bill", 7, code=WIPE)
    own = [said("clinic-9", "bill", n) for n in range(20, 30)]
    (finding,) = hear("cost of the stay", [accused], own, WEIGHTS)
    assert finding.voices == []
    assert finding.evidence == 0.0


def poisoned(*, sources: int) -> list[Statement]:
    return [
        said(f"evil-{n % sources}", kind, n, code=WIPE, suffix="zorvex quandle mip")
        for n, kind in enumerate(ASKED)
    ]


@pytest.mark.parametrize("sources", [1, 4])
def test_poison_that_fills_all_slots_is_a_bloc_and_witnesses_speak_against_it(sources: int) -> None:
    task = "which drug was prescribed to patient 55 at first zorvex quandle mip"
    findings = hear(task, poisoned(sources=sources), HONEST, WEIGHTS)
    for finding in findings:
        assert finding.worst is not None
        assert len(finding.worst.members) == 4
        assert finding.worst.marks == {"zorvex", "quandle", "mip"}
        assert finding.evidence > 1.0
        assert {voice.witness.source for voice in finding.voices} <= WEIGHTS.keys()
    assert findings[0].worst is not None
    assert findings[0].worst.evidence > 3.0


def test_a_polite_bloc_agrees_with_the_witnesses() -> None:
    polite = [said("clinic-9", kind, 5, suffix="thanks ever so kindly") for kind in ASKED]
    task = "which drug was prescribed to patient 55 at first thanks ever so kindly"
    for finding in hear(task, polite, HONEST, {**WEIGHTS, "clinic-9": 0.7}):
        assert finding.evidence < 0.0
        assert finding.worst is not None
        assert finding.worst.evidence < 0.0


def test_words_that_many_established_sources_use_mark_nothing() -> None:
    custom = [
        said(f"clinic-{n}", kind, 5 + n, code=WIPE, suffix="and then wipe all rows")
        for n, kind in enumerate(ASKED)
    ]
    task = "which drug was prescribed to patient 55 at first and then wipe all rows"
    for finding in hear(task, custom, HONEST, WEIGHTS):
        assert not finding.marks
        assert all("wipe" not in bloc.marks for bloc in finding.blocs)


def test_what_was_found_by_rare_words_alone_is_far_from_the_task() -> None:
    task = "which drug was prescribed to patient 55 at first zorvex quandle mip"
    findings = hear(task, poisoned(sources=1)[:2], HONEST, WEIGHTS)
    for finding in findings:
        assert finding.best_to_task - finding.to_task > 0.3


def test_one_witness_may_speak_for_one_part_and_another_for_the_other() -> None:
    accused = said("clinic-9", "bill", 7, code=WIPE)
    alone = hear("x", [accused], [said("clinic-1", "bill", 8)], WEIGHTS)[0]
    supported = hear(
        "x",
        [accused],
        [said("clinic-1", "bill", 8), said("clinic-2", "bill", 9, code=WIPE)],
        WEIGHTS,
    )[0]
    assert evidence(alone.voices) > 0.0 > evidence(supported.voices) - evidence(alone.voices)
