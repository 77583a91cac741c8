"""Schemas are judged before anything starts: what has no end, what cannot be, what would not be held."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.answer.bounds import longest_answer
from runner.answer.grammar import begins, grammar_of
from runner.answer.lint import lint, loose_findings
from runner.structured import OutputSchema
from tests.unit.answer.schemas import BOUNDED
from tests.unit.answer.writer import written

TEXT = {"type": "string", "maxLength": 5}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def said(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [("/".join(finding.path), finding.text, dict(finding.add)) for finding in lint(schema).findings]


@settings(deadline=None, max_examples=80)
@given(schema=BOUNDED, seed=st.integers(0, 2**32))
def test_whatever_is_written_under_a_schema_without_findings_is_valid_and_not_longer_than_measured(
    schema: dict[str, Any], seed: int
) -> None:
    linted = lint(schema)
    if linted.grammar is None:
        return  # what hypothesis found to contradict itself is tested below, rule by rule
    answer = written(linted.grammar, seed)
    value = json.loads(answer)
    problem = OutputSchema(json.dumps(schema)).check(answer).problem
    assert problem == "" or "is not a 'date'" in problem, "29 February is the one thing that the grammar cannot know"
    assert len(json.dumps(value, ensure_ascii=False).replace("\\", "")) <= linted.characters
    assert len(answer.encode()) <= 4 * linted.characters, "one byte a token: the most tokens any vocabulary can need"
    assert answer == json.dumps(value, ensure_ascii=False) or "." in answer or "-0" in answer, "one form, one space"


def test_most_random_bounded_schemas_have_no_findings() -> None:
    tally = {True: 0, False: 0}

    @settings(deadline=None, max_examples=60, database=None, derandomize=True)
    @given(schema=BOUNDED)
    def judge(schema: dict[str, Any]) -> None:
        tally[lint(schema).grammar is None] += 1

    judge()
    assert tally[False] > 2 * tally[True], "else the property above proves little"


@pytest.mark.parametrize(
    ("schema", "where", "rule", "add"),
    [
        (closed(a={"type": "string"}), "properties/a", "a string without maxLength", {"maxLength": 200}),
        (closed(a={"type": ["string", "null"]}), "properties/a", "without maxLength", {"maxLength": 200}),
        (closed(a={"type": "string", "format": "email"}), "properties/a", "format email", {"maxLength": 254}),
        (closed(a={"type": "string", "pattern": "^a+$"}), "properties/a", "without maxLength", {"maxLength": 200}),
        (closed(a={"type": "array", "items": TEXT}), "properties/a", "array without maxItems", {"maxItems": 10}),
        (
            closed(a={"type": "array", "maxItems": 2}),
            "properties/a",
            "without items",
            {"items": {**TEXT, "maxLength": 200}},
        ),
        (
            closed(a={"type": "integer", "minimum": 0}),
            "properties/a",
            "integer without maximum",
            {"maximum": 1_000_000},
        ),
        (closed(a={"type": "number", "minimum": 0, "maximum": 1}), "properties/a", "multipleOf", {"multipleOf": 0.01}),
        (closed(a={}), "properties/a", "anything may stand here", {"type": "string"}),
        (closed(a=True), "properties/a", "anything may stand here", {"type": "string"}),
        ({"type": "object", "properties": {"a": TEXT}}, "", "takes keys without end", {"additionalProperties": False}),
        (closed(a={"anyOf": [TEXT, {"type": "integer"}]}), "properties/a/anyOf/1", "digits without end", None),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, "$defs/a", "without maxLength", {"maxLength": 200}),
    ],
)
def test_a_place_without_an_end_is_named_with_the_keyword_that_ends_it(
    schema: dict[str, Any], where: str, rule: str, add: dict[str, Any] | None
) -> None:
    ((path, text, proposed),) = said(schema)
    assert path == where
    assert rule in text
    assert add is None or proposed == add
    steps = path.split("/") if path else []
    cured = json.loads(json.dumps(schema))
    node = cured
    for step in steps:
        node = node[int(step) if isinstance(node, list) else step]
    if isinstance(node, dict):
        node |= proposed
        assert all(other != path or proposed == {"type": "string"} for other, _, _ in said(cured)), "the cure cures"


def test_all_problems_come_at_once() -> None:
    schema = closed(
        a={"type": "string"}, b={"type": "array", "items": {"type": "integer"}}, c=closed(d={"type": "string"}),
        e={"type": "string", "minLength": 5, "maxLength": 3},
    )  # fmt: skip
    paths = [path for path, _, _ in said(schema)]
    assert paths == ["properties/a", "properties/b", "properties/b/items", "properties/c/properties/d", "properties/e"]


@pytest.mark.parametrize(
    ("part", "rule"),
    [
        ({"type": "string", "minLength": 5, "maxLength": 3}, "minLength (5) is greater than maxLength (3)"),
        ({"type": "integer", "minimum": 9, "maximum": 3}, "minimum (9) is greater than maximum (3)"),
        ({"type": "integer", "minimum": 1, "maximum": 6, "multipleOf": 7}, "does not contain a multiple of 7"),
        ({"type": "array", "minItems": 3, "maxItems": 2, "items": TEXT}, "minItems (3) is greater than maxItems (2)"),
        ({"type": "string", "pattern": "^a$", "minLength": 5, "maxLength": 9}, "Regex is empty"),
        ({"type": "string", "format": "date", "maxLength": 5}, "Regex is empty"),
        ({"allOf": [TEXT, {"type": "boolean"}]}, "incompatible types"),
        ({**closed(), "required": ["b"]}, "required property 'b' is unsatisfiable"),
        ({"enum": []}, "anyOf is empty"),
        ({"type": "string", "enum": ["a", 1]}, "enum holds 1, which can never be chosen"),
        ({"type": "integer", "minimum": 3, "maximum": 5, "enum": [4, 9]}, "enum holds 9, which can never be chosen"),
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_what_no_answer_can_fit_is_named_even_where_it_may_be_left_out(
    part: dict[str, Any], rule: str, required: bool
) -> None:
    schema = {**closed(good=TEXT, bad=part), "required": ["bad"] if required else []}
    (finding,) = lint(schema).findings
    assert finding.path[:2] == ("properties", "bad")
    assert rule in finding.text
    assert finding.cure


@pytest.mark.parametrize(
    ("part", "rule", "cure"),
    [
        ({"type": "string", "maxlength": 3}, "no keyword 'maxlength'", "did you mean maxLength?"),
        ({"type": "string", "maxLength": 3, "format": "phone"}, "Unknown format: phone", "another way"),
        ({"type": "string", "maxLength": 3, "pattern": "(?=a)b"}, "look-around", "another way"),
        ({"type": "string", "maxLength": 3, "pattern": "a("}, "no regular expression", "correct it"),
        ({"type": "object", "patternProperties": {"^x": TEXT}}, "patternProperties cannot be held", "properties"),
        ({"$ref": "#/$defs/gone"}, "points to nothing", "define it"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "leads out of $defs", "#/$defs/NAME"),
        ({"$ref": "#"}, "leads out of $defs", "#/$defs/NAME"),
        ({"$dynamicRef": "#a"}, "$dynamicRef cannot be held", "#/$defs/NAME"),
        ({"type": "string", "maxLength": 3, "x-guidance": {}}, "x-guidance cannot be held", "take it out"),
    ],
)
def test_a_keyword_that_nobody_would_hold_is_refused(part: dict[str, Any], rule: str, cure: str) -> None:
    (finding,) = lint(closed(a=part)).findings
    assert finding.path == ("properties", "a")
    assert rule in finding.text
    assert cure in finding.cure


def test_a_definition_that_contains_itself_has_no_end() -> None:
    tree = closed(name=TEXT, children={"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/tree"}})
    ((_, text, _),) = said({"$ref": "#/$defs/tree", "$defs": {"tree": tree}})
    assert "#/$defs/tree contains itself" in text


def test_another_draft_is_read_only_where_answers_are_not_held_to_it() -> None:
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", **closed(a=TEXT)}
    ((_, text, add),) = said(schema)
    assert "draft 2020-12" in text
    assert lint({**schema, **add}).grammar is not None
    assert list(loose_findings(schema)) == []
    assert [finding.path for finding in loose_findings({"properties": {"a": {"type": "nonsense"}}})] == [
        ("properties", "a", "type")
    ]


@pytest.mark.parametrize(
    "keywords",
    [
        {"uniqueItems": True},
        {"contains": {"const": "x"}},
        {"not": {"const": []}},
        {"if": {"minItems": 1}, "then": {"maxItems": 2}},
    ],
)
def test_what_only_the_finished_answer_is_checked_for_is_noted(keywords: dict[str, Any]) -> None:
    linted = lint(closed(a={"type": "array", "items": TEXT, "maxItems": 3, **keywords}))
    assert linted.findings == ()
    assert [note.split(" is not held")[0] for note in linted.notes] == [
        f"{keyword} at properties/a" for keyword in sorted(keywords)
    ]


def test_a_one_of_that_overlaps_is_noted_and_one_that_does_not_is_not() -> None:
    apart = closed(a={"oneOf": [TEXT, {"type": "boolean"}]})
    assert lint(apart).notes == ()
    (note,) = lint(closed(a={"oneOf": [TEXT, {"type": "string", "maxLength": 9}]})).notes
    assert "oneOf is held as anyOf" in note


def test_a_tighter_rule_beside_an_open_one_bounds_it() -> None:
    open_and_tight = {"allOf": [{"type": "string"}, {"type": "string", "maxLength": 4}], "description": "short"}
    referred = {"$ref": "#/$defs/t", "description": "x"}
    assert longest_answer(open_and_tight) == (6, [])
    assert longest_answer({**closed(a=referred), "$defs": {"t": TEXT}})[0] == len('{"a": "12345"}')


def test_counts_of_any_size_are_measured_at_once() -> None:
    wide = {"type": "array", "maxItems": 10**9, "items": {"type": "array", "maxItems": 10**9, "items": TEXT}}
    assert (longest_answer(wide)[0] or 0) > 10**18
    doubled = {"$defs": {"d0": TEXT}}
    for index in range(1, 60):
        inner = {"$ref": f"#/$defs/d{index - 1}"}
        doubled["$defs"][f"d{index}"] = closed(a=inner, b=inner)
    assert (longest_answer({"$ref": "#/$defs/d59", **doubled})[0] or 0) > 2**59


@pytest.mark.parametrize(
    ("begun", "fits"),
    [("", None), ('{"a": "x', None), ('{"a":"x', 5), ('{"b', 2), ('{"a": "x"}', 10), ('{"a": "too long', 12)],
)
def test_a_begun_answer_fits_the_grammar_and_leaves_something_to_write(begun: str, fits: int | None) -> None:
    assert begins(grammar_of(closed(a=TEXT)), begun) == fits
