"""Checks a model's answer against a JSON schema and words the one request for repair. Pure; called by the worker.

Does not constrain decoding and does not decide how often to repair.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jsonschema
import referencing
from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for

from runner.answer import exact

_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*?)\n?```\Z", re.DOTALL)
_OPEN_FENCE = re.compile(r"\A```(?:json)?\s*\n")
_GAP = re.compile(r"[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,")
_ITEM_END = re.compile(r"[ \t\r\n]*[,\]]")
_SHOWN = 300
"""Characters of one message: an error text goes into the prompt of the repair and into the journal."""


class SchemaError(Exception):
    """The schema itself is wrong."""


@dataclass(frozen=True, slots=True)
class Checked:
    """`problem` is empty when the answer is valid; `text` is the JSON alone, without a code fence."""

    text: str
    problem: str


class OutputSchema:
    """One schema, checked once. References to other places are never fetched."""

    def __init__(self, schema_json: str) -> None:
        try:
            schema: Any = exact.loads(schema_json)
            validator = validator_for(schema, default=jsonschema.Draft202012Validator)
            validator.check_schema(schema)
        except (ValueError, jsonschema.SchemaError) as error:
            raise SchemaError(_short(str(getattr(error, "message", error)))) from error
        if elsewhere := [ref for ref in _references(schema) if not ref.startswith("#")]:
            raise SchemaError(f"$ref {elsewhere[0]!r} points outside the schema; nothing is fetched")
        # Formats with a checker at hand are checked too: a grammar lets 30 February pass.
        self._validator = validator(schema, registry=referencing.Registry(), format_checker=validator.FORMAT_CHECKER)

    def check(self, answer: str) -> Checked:
        """Valid JSON that satisfies the schema; a Markdown fence around it is removed, nothing else is mended."""
        stripped = answer.strip()
        fenced = _FENCE.match(stripped)
        text = fenced.group(1).strip() if fenced else stripped
        try:
            value = exact.loads(text)
        except ValueError as error:
            return Checked(text, _short(f"not valid JSON: {error}"))
        except RecursionError:
            return Checked(text, "not valid JSON: nested too deeply")
        with exact.arithmetic():
            found = best_match(self._validator.iter_errors(value))
        if found is None:
            return Checked(text, "")
        place = "/".join(str(step) for step in found.absolute_path) or "the whole answer"
        return Checked(text, _short(f"at {place}: {found.message}"))

    def whole_items(self, answer: str) -> Checked | None:
        """What is left of a list that was cut: its whole items, None when there is none or they break the schema
        together. What stands behind them is dropped; nothing is mended inside an item.
        """
        kept = _front_of_list(_OPEN_FENCE.sub("", answer.strip()))
        checked = None if kept is None else self.check(kept)
        return None if checked is None or checked.problem else checked


def _front_of_list(text: str) -> str | None:
    """The JSON list of the items that stand whole at the front of `text`, None when there is none. A number at the very
    end may have lost digits and does not count.
    """
    if not text.startswith("["):
        return None
    decoder, at, end = json.JSONDecoder(), 1, 0
    while True:
        gap = _GAP.match(text, at)
        assert gap is not None, "it matches the empty text too"
        try:
            _, after = decoder.raw_decode(text, gap.end())
        except (ValueError, RecursionError):
            break
        if text[after - 1] not in '}]"' and _ITEM_END.match(text, after) is None:
            break
        end = after
        comma = _COMMA.match(text, after)
        if comma is None:
            break
        at = comma.end()
    return f"{text[:end]}]" if end else None


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def repair_message(problem: str, quotes: bool = False) -> str:
    """What the model is told: the rule it broke and what is wanted. `quotes`: the shape is right, a quote is not."""
    if quotes:
        wrong = f"That answer quotes what the document does not say ({problem}). Copy quotes word for word."
    else:
        wrong = f"That answer does not fit the required JSON schema ({problem})."
    return f"{wrong} Reply again with the corrected JSON only."


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
