"""A narrowed schema keeps its word: short documents, each one of the original schema."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from swarm.core.order import Frame, Plan, Review
from swarm.llm.bounded import Endless, bounded

TREE: dict[str, Any] = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                "parent": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["name", "children", "parent"],
        }
    },
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "frame": Frame.model_json_schema(),
    "plan": Plan.model_json_schema(),
    "review": Review.model_json_schema(),
    "tree": TREE,
    "anything": {},
    "free object": {"type": "object"},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    "undeclared required": {"type": "object", "required": ["a"], "properties": {"b": {}}},
    "integer": {"type": "integer"},
    "open integer": {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 6},
    "negative": {"type": "integer", "maximum": -7},
    "stepped": {"type": "integer", "minimum": 5, "multipleOf": 7},
    "number": {"type": "number"},
    "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "sliver": {"type": "number", "minimum": 0.30001, "maximum": 0.30002},
    "wide": {"type": "number", "minimum": -1e6, "maximum": 1e6},
    "long text": {"type": "string", "minLength": 300},
    "empty text": {"type": "string", "maxLength": 0},
    "pattern": {"type": "string", "pattern": "^[a-z]+-[0-9]+$"},
    "unique": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True},
    "pair": {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}]},
    "many": {"type": "array", "items": {"type": "boolean"}, "minItems": 9},
    "types": {"type": ["string", "null"], "maxLength": 5},
    "typed enum": {"type": "integer", "enum": [1, "one", True]},
    "parts": {
        "allOf": [
            {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    "one of": {
        "oneOf": [
            {"type": "object", "properties": {"tool": {"const": "x"}}, "required": ["tool"]},
            {"type": "object", "properties": {"tool": {"const": "y"}}, "required": ["tool"]},
        ]
    },
}


def documents(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Draw what a grammar of the narrowed schema would let through, of the longest kind too."""
    if "anyOf" in schema:
        return st.one_of([documents(branch) for branch in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    match schema["type"]:
        case "object":
            assert schema["additionalProperties"] is False
            parts = {key: documents(value) for key, value in schema["properties"].items()}
            return st.fixed_dictionaries(
                {key: parts[key] for key in schema["required"]},
                optional={k: v for k, v in parts.items() if k not in schema["required"]},
            )
        case "array":
            first = [documents(part) for part in schema.get("prefixItems", ())]
            sizes = {
                "min_size": max(schema.get("minItems", 0) - len(first), 0),
                "max_size": schema["maxItems"] - len(first),
            }
            rest = st.lists(documents(schema["items"]), **sizes)
            return st.tuples(st.tuples(*first), rest).map(lambda pair: [*pair[0], *pair[1]])
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "string" if "pattern" in schema:
            return st.from_regex(schema["pattern"].replace("$", r"\Z")).filter(
                lambda text: len(text) <= schema["maxLength"]
            )
        case "string":
            return st.text(
                min_size=schema.get("minLength", 0), max_size=schema["maxLength"]
            ) | st.just("x" * schema["maxLength"])
        case "boolean":
            return st.booleans()
        case kind:
            assert kind == "null"
            return st.none()


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_a_document_of_the_narrowed_schema_is_one_of_the_original(
    name: str, data: st.DataObject
) -> None:
    narrowed = bounded(SCHEMAS[name], max_chars=1024)
    document = data.draw(documents(narrowed))
    Draft202012Validator(SCHEMAS[name]).validate(document)


@pytest.mark.parametrize("name", sorted(SCHEMAS.keys() - {"long text", "many"}))
@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_a_document_of_the_narrowed_schema_is_short(name: str, data: st.DataObject) -> None:
    document = data.draw(documents(bounded(SCHEMAS[name], max_chars=1024)))
    assert len(json.dumps(document, ensure_ascii=False, separators=(",", ":"))) <= 1024


def test_texts_and_lists_shrink_until_the_document_fits() -> None:
    wide, tight = (bounded(SCHEMAS["frame"], max_chars=n)["properties"] for n in (5000, 400))
    assert wide["goal"]["maxLength"] == 200
    assert tight["goal"]["maxLength"] < 80
    assert tight["questions"]["maxItems"] < wide["questions"]["maxItems"]


def test_a_decimal_is_asked_as_a_number_and_never_as_a_clever_pattern() -> None:
    class Price(BaseModel):
        amount: Decimal = Field(gt=0)

    narrowed = bounded(Price.model_json_schema(), max_chars=500)["properties"]["amount"]
    assert "pattern" not in json.dumps(narrowed)
    assert all(value > 0 for value in narrowed["enum"])


def test_an_optional_part_that_never_ends_is_left_out() -> None:
    schema = {
        "type": "object",
        "properties": {"v": {"type": "boolean"}, "next": {"$ref": "#"}},
        "required": ["v"],
    }
    narrowed = bounded(schema, max_chars=500)
    deepest = narrowed["properties"]["next"]["properties"]["next"]["properties"]
    assert list(deepest) == ["v"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"allOf": [{"$ref": "#"}]},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1},
    ],
)
def test_a_schema_without_any_short_document_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(Endless):
        bounded(schema, max_chars=500)
