"""Models by name, the schema they are sent, and the scripted model."""

from __future__ import annotations

import importlib.util
import re
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from triforium.agents.json_schema import parse, response_format
from triforium.agents.models import ChatModel, Message, Usage, parse_model
from triforium.errors import InvalidModelOutput, InvalidURL, MissingExtra, ModelUnavailable
from triforium.testing.scripted import ScriptedModel


class Part(BaseModel):
    name: str = "none"


class Whole(BaseModel):
    """A thing of parts."""

    kind: Literal["a", "b"]
    parts: list[Part] = Field(default_factory=list)
    note: str | None = None
    first: Part = Field(default=Part(), description="the first")


class Free(BaseModel):
    labels: dict[str, int]


class Bounded(BaseModel):
    name: str = Field(min_length=2)


def ask(text: str) -> list[Message]:
    return [Message("system", "Be brief."), Message("user", text)]


def test_names() -> None:
    model = parse_model("openai:gpt-5-mini", api_key="sk-secret-1")
    assert model.name == "openai:gpt-5-mini"
    assert "secret" not in repr(model)


def test_a_model_passes_through() -> None:
    model: ChatModel = ScriptedModel()
    assert parse_model(model) is model


@pytest.mark.parametrize("name", ["", "gpt-5-mini", "openai:", "openai: ", "llama:7b"])
def test_names_of_nothing(name: str) -> None:
    with pytest.raises(InvalidURL, match="openai:NAME"):
        parse_model(name)


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'triforium\[openai\]'"):
        parse_model("openai:gpt-5-mini")


def test_usage_adds_up() -> None:
    total = Usage(1, 2, 3, 4, 5) + Usage(10, 20, 30, 40, 50)
    assert total == Usage(11, 22, 33, 44, 55)
    assert total.tokens == 33


def test_strict_schema_closes_objects_and_requires_all() -> None:
    sent = response_format(Whole)["json_schema"]
    assert sent["strict"] is True
    schema = sent["schema"]
    assert schema["required"] == ["kind", "parts", "note", "first"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Part"]["required"] == ["name"]
    assert schema["$defs"]["Part"]["additionalProperties"] is False
    assert schema["properties"]["first"] == {"$ref": "#/$defs/Part"}
    assert "default" not in str(schema)


@pytest.mark.parametrize("returns", [Free, Bounded])
def test_schema_that_cannot_be_strict_is_sent_as_it_is(returns: type[BaseModel]) -> None:
    sent = response_format(returns)["json_schema"]
    assert sent["strict"] is False
    assert sent["schema"] == returns.model_json_schema()


def test_parse_says_what_is_wrong() -> None:
    assert parse(Part, '{"name": "x"}') == (Part(name="x"), "")
    nothing, problem = parse(Whole, '{"kind": "c", "parts": [{"name": 1}]}')
    assert nothing is None
    assert "kind: " in problem
    assert "parts.0.name: " in problem
    assert parse(Part, "no JSON")[0] is None


async def test_scripted_lines_come_in_order() -> None:
    with ScriptedModel("one", "two") as model:
        assert [(await model.complete(ask("?"))).text for _ in range(2)] == ["one", "two"]
    assert model.usage == Usage(10, 2, 2)


async def test_scripted_rules() -> None:
    async def slow(prompt: str) -> str:
        return prompt.upper()

    with ScriptedModel(
        ("revenue", "SELECT 1"),
        (re.compile(r"\d{4}"), Part(name="year")),
        (lambda prompt: prompt.endswith("down"), ModelUnavailable("It is down.")),
        ("shout", slow),
        "anything else",
    ) as model:
        assert (await model.complete(ask("revenue by month"))).text == "SELECT 1"
        assert (await model.complete(ask("in 1984"), returns=Part)).parsed == Part(name="year")
        with pytest.raises(ModelUnavailable, match="down"):
            await model.complete(ask("is it down"))
        assert (await model.complete(ask("shout"))).text.endswith("USER: SHOUT")
        assert (await model.complete(ask("hm"))).text == "anything else"
    assert model.calls[1].returns is Part
    assert model.calls[0].prompt == "system: Be brief.\n\nuser: revenue by month"


async def test_scripted_unexpected_call() -> None:
    model = ScriptedModel(("revenue", "SELECT 1"))
    with pytest.raises(AssertionError, match=r"call number 1(.|\n)*costs"):
        await model.complete(ask("costs"))


async def test_scripted_unused_part() -> None:
    with (
        pytest.raises(AssertionError, match=r"'costs', 'last'"),
        ScriptedModel(("revenue", "x"), ("costs", "y"), "last") as model,
    ):
        await model.complete(ask("revenue"))


async def test_scripted_failure_is_not_hidden_by_the_unused() -> None:
    with pytest.raises(KeyError, match="own"), ScriptedModel("never used"):
        raise KeyError("own")


@pytest.mark.parametrize("text", ["no JSON", '{"name": 1}', ""])
async def test_scripted_answer_that_does_not_fit(text: str) -> None:
    with pytest.raises(InvalidModelOutput, match="script"):
        await ScriptedModel(text).complete(ask("?"), returns=Part)


async def test_scripted_stream() -> None:
    model = ScriptedModel("one two\nthree")
    pieces = [piece async for piece in model.stream(ask("?"))]
    assert pieces == ["one ", "two\n", "three"]
