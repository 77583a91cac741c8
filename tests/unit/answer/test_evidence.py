"""Quotes are looked for in the document: signs and white space may differ, words and capitals may not."""

import json
import random
from typing import Any

import pytest

from runner.answer.evidence import Evidence, findings, plain

QUOTE = {"type": "string", "minLength": 4, "maxLength": 90, "x-quote": True}
SOURCE = "The “old” index\n   was\u00a0dropped in version 9.4 \u2014 it co\u00adst too much\u2026 Zu\u0308rich said so."


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def problem(schema: dict[str, Any], answer: Any, source: str) -> str:
    return Evidence(json.dumps(schema)).problem(json.dumps(answer), source)


@pytest.mark.parametrize(
    "quote",
    ['The "old" index was dropped', "dropped in version 9.4 - it cost too much...", "Zürich said so.", "was   dropped"],
)
def test_a_quote_may_differ_in_signs_and_white_space(quote: str) -> None:
    assert problem(closed(a=QUOTE), {"a": quote}, SOURCE) == ""


@pytest.mark.parametrize("quote", ["the old index", "the “old” index", "version 9.5", "index was removed", "Zurich"])
def test_a_quote_may_not_differ_in_words_or_capitals(quote: str) -> None:
    assert problem(closed(a=QUOTE), {"a": quote}, SOURCE) == f"at a: the document does not contain {quote!r}"


def test_quotes_are_found_wherever_the_schema_has_them() -> None:
    schema = {
        **closed(
            facts={"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/fact"}},
            maybe={"anyOf": [{**QUOTE, "type": ["string", "null"]}, {"type": "boolean"}]},
            free={"type": "string", "maxLength": 90},
        ),
        "$defs": {"fact": closed(says={"type": "string", "maxLength": 9}, quote=QUOTE)},
    }
    good = {"facts": [{"says": "x", "quote": "version 9.4"}], "maybe": None, "free": "nowhere in it"}
    assert problem(schema, good, SOURCE) == ""
    bad = {**good, "facts": [*good["facts"], {"says": "x", "quote": "made up"}]}
    assert problem(schema, bad, SOURCE) == "at facts/1/quote: the document does not contain 'made up'"
    assert "made up" in problem(schema, {**good, "maybe": "made up"}, SOURCE)


def test_every_piece_of_a_text_is_found_and_no_changed_piece() -> None:
    chance = random.Random(4)
    words = [f"word{index}" for index in range(60)]
    text = "".join(word + chance.choice([" ", "\n\n", "\t", "\u2009", " – "]) for word in words)
    for _ in range(200):
        start = chance.randrange(len(text) - 10)
        piece = text[start : start + chance.randrange(8, 40)]
        assert problem(closed(a=QUOTE), {"a": piece}, text) == ""
        assert problem(closed(a=QUOTE), {"a": piece + "§"}, text) != ""


def test_numbers_beside_a_quote_are_what_was_written() -> None:
    schema = closed(a=QUOTE, total={"type": "number", "minimum": 0, "maximum": 9, "multipleOf": 0.01})
    assert problem(schema, {"a": "version 9.4", "total": 0.57}, SOURCE) == ""


@pytest.mark.parametrize("quote", ["    ", "9   ", "\u00ad\u00ad\u00ad\u00ad"])
def test_a_quote_of_white_space_proves_nothing(quote: str) -> None:
    assert "too short for a quote" in problem(closed(a=QUOTE), {"a": quote}, SOURCE)


def test_plain_text_is_plain_at_once() -> None:
    assert (
        plain(plain(SOURCE))
        == plain(SOURCE)
        == 'The "old" index was dropped in version 9.4 - it cost too much... Zürich said so.'
    )


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (closed(a={"type": "string", "maxLength": 9}), "no string is marked as a quote"),
        (closed(a={"type": "string", "maxLength": 9, "x-quote": True}), "may be empty, which proves nothing"),
        (closed(a={"type": "integer", "x-quote": True}), "marks strings, the type here is 'integer'"),
        (closed(a={"type": ["string", "boolean"], "x-quote": True, "minLength": 3}), "marks strings"),
    ],
)
def test_marks_that_would_prove_nothing_are_named(schema: dict[str, Any], says: str) -> None:
    (finding,) = findings(schema)
    assert says in finding.text
    assert finding.cure or finding.add


def test_a_marked_string_with_a_least_length_is_enough_and_may_be_null() -> None:
    assert list(findings(closed(a={**QUOTE, "type": ["string", "null"]}))) == []
    assert list(findings(closed(a={"type": "string", "format": "date", "x-quote": True}))) == []
