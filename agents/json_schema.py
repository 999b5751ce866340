"""Structured output: the JSON schema that a server is sent, and how its replies are read."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Schema = TypeVar("Schema", bound=BaseModel)

_STRICT = frozenset(
    (
        *("$defs", "$ref", "type", "title", "description", "enum", "const", "anyOf"),
        *("properties", "required", "additionalProperties", "items", "minItems", "maxItems"),
        *("minimum", "maximum"),
    )
)
"""Keywords of JSON Schema that constrained decoding takes on every server that has it."""


def response_format(returns: type[BaseModel]) -> dict[str, Any]:
    """The parameter ``response_format`` of a chat completion that must fit `returns`.

    It is strict (the server decodes under the schema's grammar) where the schema permits: no
    free-form objects and no keywords that constrained decoding lacks. Under strict rules every
    property is required, so defaults are left out; pydantic validates with the full schema after.
    """
    schema = returns.model_json_schema()
    strict = _is_strict(schema)
    return {
        "type": "json_schema",
        "json_schema": {
            "name": re.sub(r"[^A-Za-z0-9_-]", "_", returns.__name__)[:64],
            "schema": _closed(schema) if strict else schema,
            "strict": strict,
        },
    }


def parse(returns: type[Schema], text: str) -> tuple[Schema | None, str]:
    """Read a reply; what does not fit comes back as None with the reason in words."""
    try:
        return returns.model_validate_json(_unfenced(text)), ""
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        return None, "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'reply'}: {one['msg']}" for one in found[:5]
        )


def _is_strict(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    if not schema.keys() - {"default"} <= _STRICT:
        return False
    if schema.get("type") == "object" and (
        "properties" not in schema or schema.get("additionalProperties", False) is not False
    ):
        return False
    if not schema.keys() & {"type", "$ref", "anyOf", "enum", "const"}:
        return False
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    inner += schema.get("anyOf", [])
    inner += [schema["items"]] if "items" in schema else []
    return all(_is_strict(one) for one in inner)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema under strict rules: objects closed, all properties required."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    result = {name: value for name, value in schema.items() if name != "default"}
    for group in ("properties", "$defs"):
        if group in result:
            result[group] = {name: _closed(one) for name, one in result[group].items()}
    if "anyOf" in result:
        result["anyOf"] = [_closed(one) for one in result["anyOf"]]
    if isinstance(result.get("items"), dict):
        result["items"] = _closed(result["items"])
    if "properties" in result:
        result["additionalProperties"] = False
        result["required"] = list(result["properties"])
    return result


def _unfenced(text: str) -> str:
    """JSON out of a Markdown code fence, which some servers put around it."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped[3:-3].removeprefix("json").strip()
    return stripped
