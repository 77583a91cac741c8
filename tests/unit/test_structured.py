"""Answers against a schema: what counts as valid, and what the message says."""

import json
import random
from typing import Any

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


def test_numbers_are_taken_as_they_are_written() -> None:
    price = OutputSchema(json.dumps({"type": "number", "multipleOf": 0.01, "maximum": 1e6}))
    for text in ("0.57", "1.1", "0.29", "-3", "12.00", "1e3"):
        assert price.check(text).problem == "", text
    for text in ("0.575", "1e-9", "1e7", "1e300", "1e99999"):
        assert price.check(text).problem != "", text
    whole = OutputSchema(json.dumps({"type": "integer"}))
    assert [whole.check(text).problem == "" for text in ("1.0", "1e2", "1.5")] == [True, True, False]


def test_a_format_that_a_grammar_cannot_hold_is_checked_too() -> None:
    day = OutputSchema(json.dumps({"type": "string", "format": "date"}))
    assert day.check('"2024-02-29"').problem == ""
    assert "is not a 'date'" in day.check('"2023-02-29"').problem


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


PAIRS = OutputSchema(
    json.dumps({
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["question", "answer"],
            "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
        },
    })
)  # fmt: skip
ANYTHING = OutputSchema(json.dumps({"type": "array"}))


def _some_text(chance: random.Random) -> str:
    return "".join(chance.choice('ab "\\[]{},:\n\u00e9\U0001f642') for _ in range(chance.randrange(6)))


def _some_value(chance: random.Random, depth: int = 2) -> Any:
    kinds = ["text", "number", "word"] + ["list", "object"] * (depth > 0)
    match chance.choice(kinds):
        case "text":
            return _some_text(chance)
        case "number":
            return chance.choice([0, -7, 12345, 1.5, -2.5e-7, 1e30])
        case "word":
            return chance.choice([True, False, None])
        case "list":
            return [_some_value(chance, depth - 1) for _ in range(chance.randrange(3))]
        case _:
            return {_some_text(chance): _some_value(chance, depth - 1) for _ in range(chance.randrange(3))}


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("pairs", [True, False])
def test_a_list_cut_at_any_byte_keeps_a_front_of_its_items_or_nothing(seed: int, pairs: bool) -> None:
    chance = random.Random(seed)
    count = chance.randrange(1, 5)
    values = [
        {"question": _some_text(chance), "answer": _some_text(chance)} if pairs else _some_value(chance)
        for _ in range(count)
    ]
    text = json.dumps(values, ensure_ascii=seed % 2 == 0, indent=chance.choice([None, 1]))
    whole = text.encode() if seed % 3 else f"```json\n{text}".encode()
    schema = PAIRS if pairs else ANYTHING
    most = 0
    for end in range(len(whole) + 1):
        kept = schema.whole_items(whole[:end].decode(errors="replace"))
        found = [] if kept is None else json.loads(kept.text)
        assert found == values[: len(found)], whole[:end]
        assert kept is None or schema.check(kept.text).problem == ""
        assert len(found) >= most, "more text never keeps less"
        most = len(found)
    assert most == count


def test_whole_items_that_break_the_schema_are_not_kept() -> None:
    assert PAIRS.whole_items('[{"question": "a"}, {"question": "b", "answer"') is None
    assert PAIRS.whole_items('{"question": "a", "answer": "b"}') is None
    assert PAIRS.whole_items("[" * 100_000) is None


def test_what_stands_behind_the_whole_items_of_a_cut_list_is_dropped() -> None:
    kept = PAIRS.whole_items('[{"question": "a", "answer": "b"}]\n\nThis list has one')
    assert kept is not None
    assert kept.text == '[{"question": "a", "answer": "b"}]'
