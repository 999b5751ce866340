"""Other words for the same: deterministic, different, and without new facts."""

from __future__ import annotations

import re

from triforium.workflows.guard.paraphrase import paraphrase

TEXT = (
    "In many cases, a large cache can improve the speed of a system because it is used often. "
    "Port 22 is the default, and IANA lists it."
)


def test_equal_seeds_give_equal_words_and_others_give_others() -> None:
    made = {paraphrase(TEXT, seed) for seed in range(8)}
    assert paraphrase(TEXT, 3) == paraphrase(TEXT, 3)
    assert len(made) > 4
    assert TEXT not in made


def test_names_and_numbers_stay() -> None:
    for seed in range(8):
        said = paraphrase(TEXT, seed)
        assert re.findall(r"\d+", said) == ["22"]
        assert "IANA" in said
        assert said.endswith(".")


def test_nothing_to_change_is_no_error() -> None:
    assert paraphrase("", 0) == ""
    assert "xyzzy" in paraphrase("xyzzy", 0).lower()
