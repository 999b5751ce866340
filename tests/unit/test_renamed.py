"""A world in other words: a bijection, the same everywhere, and a world like any other."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from triforium.agents.environment import Environment, Observation, Task
from triforium.errors import InvalidTask
from triforium.testing.environment_conformance import EnvironmentConformance, play
from triforium.workflows.household import Household
from triforium.workflows.renamed import FUNCTION_WORDS, Renamed, Renaming
from triforium.workflows.worlds import World

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12)
SEEDS = st.integers(0, 3)


class TestRenamedConformance(EnvironmentConformance):
    @pytest.fixture
    def world(self) -> World:
        return Renamed(Household(), 3)


def merged(word: str) -> str:
    """The word with "-es" for "-s" where both would come out as "-s"."""
    again = re.sub(r"(ch|sh|x|z|ss)es$|(?<=...)(o)es$", r"\1\2s", word)
    return merged(again) if again != word else word


def check_bijection(words: list[str], seed: int) -> None:
    renaming = Renaming(seed)
    names = {merged(word): renaming.word(word) for word in words}
    assert len(set(names.values())) == len(names)


@given(st.lists(WORDS, max_size=60), SEEDS)
def test_no_two_words_share_a_name(words: list[str], seed: int) -> None:
    check_bijection(words, seed)


@given(WORDS, SEEDS)
def test_the_words_most_like_a_word_have_names_of_their_own(word: str, seed: int) -> None:
    ends = ("", "s", "es", "e", "ed", "ing", "a", "n", "x", "ss", "xs", "ings", "eds")
    check_bijection([word + end for end in ends], seed)


@given(st.lists(st.one_of(WORDS, st.sampled_from(["The", "2", "mugs.", "'", "IT"]))), SEEDS)
def test_a_text_comes_back(parts: list[str], seed: int) -> None:
    text = " ".join(parts)
    assume(all(merged(word) == word for word in re.findall("[a-z]+", text)))
    renaming = Renaming(seed)
    assert renaming.back(renaming.text(text)) == text


def test_form_stays_and_words_go() -> None:
    renaming = Renaming(1)
    text = "You put the Mug 2 in/on desklamp3, 12 MUGS."
    told = renaming.text(text)
    assert re.fullmatch(r"You \w+ the [A-Z]\w+ 2 in/on \w+3, 12 [A-Z]+S\.", told)
    mug = renaming.word("mug")
    assert mug in told.lower()
    assert told.endswith(f" {mug.upper()}S.")
    for singular, plural in (("box", "boxes"), ("tomato", "tomatoes"), ("glass", "glasses")):
        assert renaming.word(plural) == renaming.word(singular) + "s"
    for ending in ("ed", "ing"):
        assert renaming.word("heat" + ending) == renaming.word("heat") + ending
    assert all(renaming.word(word) == word for word in FUNCTION_WORDS)


@given(WORDS)
def test_a_name_can_be_pronounced_like_its_word(word: str) -> None:
    name = Renaming(5).word(word)
    assert name in FUNCTION_WORDS or name.isalpha()
    if len(word) > 4 and name[:-1] != word:
        vowels = re.sub("[aeiou]", "v", re.sub("[^aeiou]", "c", word))
        spelled = re.sub("[aeiou]", "v", re.sub("[^aeiou]", "c", name))
        assert spelled.startswith(vowels[:2]) or len(name) != len(word)


def test_names_are_the_same_in_every_process_and_differ_by_seed() -> None:
    code = "from triforium.workflows.renamed import Renaming; print(Renaming(9).text('microwave'))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert told == {Renaming(9).text("microwave")}
    assert told != {Renaming(8).text("microwave")}


async def test_nothing_of_the_world_s_own_words_is_told() -> None:
    plain, renamed = Household(), Renamed(Household(), 2)
    (task,), (own,) = renamed.tasks(1), plain.tasks(1)
    actions = await renamed.demonstration(task)
    told = await play(renamed.environment(), task, actions)
    said = await play(plain.environment(), own, await plain.demonstration(own))
    assert [seen.won for seen in told] == [seen.won for seen in said]
    texts = [task.goal, *actions]
    texts += [part for seen in told for part in (seen.text, *(seen.actions or ()))]
    theirs = {word for text in texts for word in re.findall("[a-z]+", text.lower())}
    ours = {
        word
        for seen in said
        for text in (own.goal, seen.text, *(seen.actions or ()))
        for word in re.findall("[a-z]+", text.lower())
    }
    assert len(ours) > 30
    assert ours & theirs <= FUNCTION_WORDS


async def test_the_world_s_own_actions_are_not_admissible() -> None:
    renamed = Renamed(Household(), 2)
    (task,) = renamed.tasks(1)
    environment = renamed.environment()
    first = await environment.reset(task)
    plain = await Household().demonstration(renamed.own(task))
    answer = await environment.step(plain[0])
    assert answer.text == renamed.renaming.text("Nothing happens.")
    assert answer.actions == first.actions
    with pytest.raises(InvalidTask, match="not in other words"):
        await environment.reset(Household().tasks(1)[0])


class Parser:
    """A world that takes any text, and does not tell what it admits."""

    async def reset(self, task: Task, seed: int = 0) -> Observation:
        return Observation("A lamp and a switch 1 are here.")

    async def step(self, action: str) -> Observation:
        return Observation(f"({action})", won=action == "lamp switch 1", done=True)

    async def close(self) -> None:
        pass


class Open(Household):
    def environment(self) -> Environment:  # type: ignore[override]
        return Parser()


async def test_actions_that_a_world_does_not_list_are_told_back_word_by_word() -> None:
    renamed = Renamed(Open(), 4)
    environment = renamed.environment()
    await environment.reset(renamed.tasks(1)[0])
    answer = await environment.step(renamed.renaming.text("lamp switch 1"))
    assert answer.won
    assert answer.actions is None
