"""Answers against a schema: what counts as valid, and what the message says."""

import json

import pytest

from runner.structured import OutputSchema, SchemaError, repair_message

SCHEMA = OutputSchema(json.dumps({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}))


@pytest.mark.parametrize("answer", ['{"a": 1}', ' {"a": 1}\n', '```json\n{"a": 1}\n```', '```\n{"a": 1}\n```'])
def test_valid_json_is_found_with_white_space_or_a_fence_around_it(answer: str) -> None:
    checked = SCHEMA.check(answer)
    assert checked.problem == ""
    assert json.loads(checked.text) == {"a": 1}


@pytest.mark.parametrize(
    ("answer", "begins"),
    [
        ("Sure! {}", "not valid JSON"),
        ("{}", "at the whole answer"),
        ('{"a": "x"}', "at a:"),
        ("[" * 100_000, "not valid"),
    ],
)
def test_the_problem_names_the_place_and_the_rule(answer: str, begins: str) -> None:
    assert SCHEMA.check(answer).problem.startswith(begins)


def test_problems_stay_short_because_they_go_into_the_prompt() -> None:
    assert len(SCHEMA.check(json.dumps({"a": "x" * 10_000})).problem) <= 300
    assert "at a" in repair_message("at a: wrong")


@pytest.mark.parametrize("schema", ["{", '{"type": "nonsense"}'])
def test_a_wrong_schema_is_refused(schema: str) -> None:
    with pytest.raises(SchemaError):
        OutputSchema(schema)


def test_a_reference_elsewhere_is_refused_and_one_inside_works() -> None:
    with pytest.raises(SchemaError, match="outside"):
        OutputSchema(json.dumps({"properties": {"a": {"$ref": "http://127.0.0.1:1/schema.json"}}}))
    inside = OutputSchema(json.dumps({"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}))
    assert inside.check('{"a": 1}').problem == ""
    assert inside.check('{"a": []}').problem != ""
