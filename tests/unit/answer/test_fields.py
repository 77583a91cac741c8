"""Schemas as fields: what is written as a Pydantic model would be becomes the JSON Schema that means the same."""

import datetime as dt
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.answer.bounds import Finding
from runner.answer.fields import as_keys, field_path, schema_of
from runner.answer.lint import lint
from tests.unit.answer.writer import written

_NAMES = st.text("abcxyz_ é", min_size=1, max_size=5)
_LENGTHS = st.tuples(st.integers(0, 3), st.integers(0, 6))
_RANGES = st.tuples(st.integers(-50, 50), st.integers(0, 40))


def _strings() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda lengths, kind: {"type": kind, "min_length": lengths[0], "max_length": sum(lengths)},
        _LENGTHS,
        st.sampled_from(["str"]),
    )


def _numbers() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda ends, decimals: (
            {"ge": ends[0], "le": sum(ends)}
            | ({"type": "int"} if decimals is None else {"type": "float", "decimals": decimals})
        ),
        _RANGES,
        st.sampled_from([None, 0, 1, 2]),
    )


_PLAIN = st.one_of(
    _strings(),
    _numbers(),
    st.just({"type": "bool"}),
    st.just({"type": "date"}),
    st.lists(st.one_of(_NAMES, st.integers(0, 9)), min_size=1, max_size=3).map(
        lambda values: {"type": "enum", "values": values}
    ),
    st.just({"type": "Literal['a', 'b']"}),
)


def _more(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.dictionaries(_NAMES, inner, min_size=1, max_size=3).map(
        lambda made: {"type": "object", "fields": made}
    )
    lists = st.builds(
        lambda field, counts, bracket: {
            **field,
            "type": f"list[{field['type']}]" if bracket and field["type"][0] != "L" else [field["type"]],
            "min_items": counts[0],
            "max_items": counts[0] + counts[1],
        },
        st.one_of(_PLAIN, objects).filter(lambda field: isinstance(field["type"], str)),
        st.tuples(st.integers(0, 1), st.integers(0, 2)),
        st.booleans(),
    )
    optional = inner.map(lambda field: {**field, "optional": True})
    return st.one_of(objects, lists, optional)


FIELDS = st.dictionaries(_NAMES, st.recursive(_PLAIN, _more, max_leaves=5), min_size=1, max_size=4)


def fits(value: Any, field: dict[str, Any]) -> bool:
    """The meaning of a field, said once more without any schema."""
    kind = field["type"]
    if field.get("optional") and value is None:
        return True
    if isinstance(kind, list) or kind.startswith("list["):
        inner = kind[0] if isinstance(kind, list) else kind[5:-1]
        item = {key: value for key, value in field.items() if key not in ("optional", "min_items", "max_items")}
        counted = isinstance(value, list) and field["min_items"] <= len(value) <= field["max_items"]
        return counted and all(fits(each, {**item, "type": inner}) for each in value)
    match kind:
        case "str":
            return isinstance(value, str) and field["min_length"] <= len(value) <= field["max_length"]
        case "int":
            return type(value) is int and field["ge"] <= value <= field["le"]
        case "float":
            digits = re.fullmatch(r"-?\d+(?:\.(\d+))?", str(value))
            decimals = len((digits[1] or "").rstrip("0")) if digits else 99
            return field["ge"] <= value <= field["le"] and decimals <= field["decimals"]
        case "bool":
            return isinstance(value, bool)
        case "date":
            return value.endswith("-02-29") or bool(dt.date.fromisoformat(value))
        case "object":
            return fits_all(value, field["fields"])
        case _:
            values = field["values"] if kind == "enum" else ["a", "b"]
            return any(type(value) is type(each) and value == each for each in values)


def fits_all(value: Any, fields: dict[str, Any]) -> bool:
    return list(value) == list(fields) and all(fits(value[name], field) for name, field in fields.items())


@settings(deadline=None, max_examples=80)
@given(fields=FIELDS, seed=st.integers(0, 2**32))
def test_every_answer_under_fields_has_every_key_and_each_value_is_what_its_field_says(
    fields: dict[str, Any], seed: int
) -> None:
    schema, findings = schema_of(fields)
    assert findings == []
    linted = lint(schema)
    assert linted.grammar is not None, linted.findings
    assert fits_all(json.loads(written(linted.grammar, seed)), fields)


def test_a_schema_made_of_fields_reads_as_one_that_was_written_by_hand() -> None:
    fields = {
        "title": {"type": "str", "max_length": 80, "description": "as it is printed"},
        "total": {"type": "float", "ge": 0, "lt": 100, "decimals": 2, "optional": True},
        "tags": {"type": ["str"], "max_length": 20, "max_items": 5},
        "kind": {"type": "Literal['a', 'b']", "optional": True},
        "urgent": "bool",
        "source": {"type": "str", "min_length": 8, "max_length": 90, "quote": True},
    }
    assert schema_of(fields) == (
        {
            "type": "object",
            "properties": {
                "title": {"description": "as it is printed", "type": "string", "maxLength": 80},
                "total": {"type": ["number", "null"], "minimum": 0, "exclusiveMaximum": 100, "multipleOf": 0.01},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}, "maxItems": 5},
                "kind": {"enum": ["a", "b", None]},
                "urgent": {"type": "boolean"},
                "source": {"type": "string", "minLength": 8, "maxLength": 90, "x-quote": True},
            },
            "required": list(fields),
            "additionalProperties": False,
        },
        [],
    )


@pytest.mark.parametrize(
    ("fields", "where", "text", "cure"),
    [
        ({}, (), "a mapping of names to types is needed", "title:"),
        (["title"], (), "a mapping of names to types is needed", "title:"),
        ({3: "str"}, (), "3 is no name", "in quotes"),
        ({"a": "strng"}, ("a",), "type is 'strng', it must be one of str, int", "did you mean str?"),
        ({"a": {"max_length": 3}}, ("a",), "type is None", "[str] or list[str]"),
        ({"a": ["str", "int"]}, ("a",), "type is ['str', 'int']", "[str] or list[str]"),
        ({"a": {"type": "Literal[x]"}}, ("a",), "type is 'Literal[x]'", "[str]"),
        (
            {"a": {"type": "str", "maxlength": 3}},
            ("a",),
            "'maxlength' says nothing about str",
            "did you mean max_length?",
        ),
        ({"a": {"type": "int", "max_length": 3}}, ("a",), "'max_length' says nothing about int", "int takes type"),
        ({"a": {"type": "str", "max_items": 3}}, ("a",), "'max_items' says nothing about str", "str takes"),
        ({"a": {"type": "enum"}}, ("a",), "values are None", "values: [invoice"),
        ({"a": {"type": "enum", "values": [[1]]}}, ("a",), "values are [[1]]", "values: [invoice"),
        ({"a": {"type": "float", "decimals": -1}}, ("a",), "decimals is -1, it must be 0 to 9", "decimals: 2"),
        ({"a": {"type": "bool", "optional": "no"}}, ("a",), "optional is 'no'", "optional: true"),
        ({"a": {"type": "object"}}, ("a",), "a mapping of names to types is needed", "title:"),
        ({"a": {"type": "object", "fields": {"b": "nop"}}}, ("a", "b"), "type is 'nop'", "[str]"),
    ],
)
def test_a_field_that_cannot_be_read_is_named_with_its_cure(fields: Any, where: object, text: str, cure: str) -> None:
    _, findings = schema_of(fields)
    found: Finding = findings[0]
    assert found.path == where
    assert text in found.text
    assert cure in found.cure


def test_what_lint_asks_of_a_schema_is_asked_of_the_field_in_its_own_words() -> None:
    schema, findings = schema_of({"a": "str", "b": {"type": "object", "fields": {"c": {"type": ["float"], "ge": 1}}}})
    assert findings == []
    asked = [(field_path(finding.path), as_keys(finding.add)) for finding in lint(schema).findings]
    assert asked == [
        (("a",), {"max_length": 200}),
        (("b", "c"), {"max_items": 10}),
        (("b", "c"), {"le": 1_000_000, "decimals": 2}),
    ]
