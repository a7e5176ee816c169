"""Instances of JSON schemas: always valid, or an honest refusal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from llm.simulator.schema_sample import UnsupportedSchemaError, sample

NODE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "next"],
        }
    },
}
SCHEMAS: list[Any] = [
    {},
    True,
    {"type": "string", "minLength": 30, "maxLength": 35},
    {"type": "string", "format": "date-time"},
    {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"},
    {"type": "integer", "minimum": 20, "multipleOf": 7},
    {"type": "integer", "maximum": -5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "minimum": 0, "multipleOf": 0.5},
    {"type": ["null", "string"]},
    {"const": {"a": [1]}},
    {"enum": [3, "x", None]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 5, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "items": False},
    {"type": "object", "required": ["free"], "additionalProperties": {"type": "integer"}},
    {"type": "object", "minProperties": 3},
    {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"required": ["a"]}], "type": "object"},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {"properties": {"a": {"$ref": "#/definitions/x"}}, "definitions": {"x": {"enum": ["q"]}}},
    NODE,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=repr)
def test_instances_are_valid_and_the_same_each_time(schema: Any) -> None:
    made = sample(schema, prompt="Explain database indexes")
    Draft202012Validator(schema).validate(made)
    assert made == sample(schema, prompt="Explain database indexes")


def test_texts_come_from_the_prompt() -> None:
    made = sample({"type": "string"}, prompt="telescopes galaxies nebulae quasars")
    assert made == "telescopes galaxies nebulae"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "string", "pattern": "^zq{7}x[^a-z]{3}$"},
        {"$ref": "https://example.org/schema"},
        {"$ref": "#/$defs/missing"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True},
        {
            "type": "object",
            "properties": {"a": {"$ref": "#"}},
            "required": ["a"],
        },
        {"type": "string", "not": {"$ref": "https://example.org/schema"}},
        {"type": "string", "pattern": "("},
        {"type": "array", "minItems": 1_000_000_000},
        {"type": "string", "minLength": 1_000_000_000},
        7,
    ],
    ids=repr,
)
def test_what_cannot_be_built_is_refused(schema: Any) -> None:
    with pytest.raises(UnsupportedSchemaError):
        sample(schema, prompt="p")


def leaves() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.sampled_from(
            [
                {"type": "string"},
                {"type": "boolean"},
                {"type": "null"},
                {"type": "string", "format": "uuid"},
                {"type": "integer"},
            ]
        ),
        st.builds(
            lambda low, span: {"type": "number", "minimum": low, "maximum": low + span},
            st.integers(-50, 50),
            st.integers(0, 50),
        ),
        st.builds(
            lambda low, span: {"type": "string", "minLength": low, "maxLength": low + span},
            st.integers(0, 40),
            st.integers(0, 40),
        ),
    )


def branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(st.text(max_size=5), inner, max_size=4).map(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    )
    arrays = st.builds(
        lambda items, least: {"type": "array", "items": items, "minItems": least},
        inner,
        st.integers(0, 4),
    )
    choices = st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    return st.one_of(objects, arrays, choices)


@given(schema=st.recursive(leaves(), branches, max_leaves=12), prompt=st.text(max_size=60))
def test_any_schema_of_the_usual_kind_has_an_instance(schema: Any, prompt: str) -> None:
    Draft202012Validator(schema).validate(sample(schema, prompt=prompt))
