"""Quotes of an answer must stand in the text it was made from: the check behind `job.evidence`.

A string of the schema is a quote by its mark `"x-quote": true`. White space and typographic signs are the same as plain
ones, capitals are not: what a model repairs on the way is no longer a quote. Pure. Used by config and structured.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, extend

from runner.answer import exact
from runner.answer.bounds import FIXED_FORMATS, Finding
from runner.answer.grammar import nodes, shown

MARK: Final = "x-quote"
LEAST: Final = 8
"""Characters proposed as the least of a quote: a shorter one stands in nearly every text."""

_SIGNS: Final = str.maketrans(
    dict.fromkeys("‘’‚‛′`´", "'")
    | dict.fromkeys("“”„‟«»″", '"')
    | dict.fromkeys("‐‑‒–—―−", "-")
    | dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", "")
    | {"…": "..."}
)
_SHOWN: Final = 80


def plain(text: str) -> str:
    """One space for any white space, plain quotes, dashes and points; composed characters; nothing invisible."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text).translate(_SIGNS)).strip()


def findings(schema: Mapping[str, Any]) -> Iterator[Finding]:
    """Why `job.evidence` would prove nothing with this schema."""
    marked = [(path, node) for path, node in nodes(schema) if isinstance(node, Mapping) and node.get(MARK) is True]
    if not marked:
        yield Finding((), "job.evidence is true and no string is marked as a quote", {MARK: True})
    for path, node in marked:
        types = [node.get("type")] if isinstance(node.get("type"), str) else node.get("type", [])
        if set(types) - {"null"} != {"string"}:
            yield Finding(path, f"{MARK} marks strings, the type here is {node.get('type')!r}", cure="mark a string")
        elif node.get("minLength", 0) < 1 and node.get("format") not in FIXED_FORMATS:
            yield Finding(path, "a quote without minLength may be empty, which proves nothing", {"minLength": LEAST})


def _extended(keywords: Mapping[str, Any]) -> type[Validator]:
    made: type[Validator] = extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]
    return made


def marks(schema: Mapping[str, Any]) -> list[str]:
    """Where quotes are."""
    return [shown(path) for path, node in nodes(schema) if isinstance(node, Mapping) and node.get(MARK) is True]


class Evidence:
    """The quotes of one schema, looked for in one text after another."""

    def __init__(self, schema_json: str) -> None:
        self._schema = exact.loads(schema_json)

    def problem(self, answer: str, source: str) -> str:
        """Empty when every quote of a valid answer, as JSON, stands in `source`."""
        text = plain(source)

        def stands(_validator: Validator, marked: Any, quote: Any, schema: Any) -> Iterator[ValidationError]:
            if marked is not True or not isinstance(quote, str):
                return
            said = plain(quote)
            told = quote if len(quote) <= _SHOWN else quote[: _SHOWN - 1] + "…"
            if said not in text:
                yield ValidationError(f"the document does not contain {told!r}")
            elif len(said) < schema.get("minLength", 1):  # white space stands in every text
                yield ValidationError(f"{told!r} is too short for a quote without its white space")

        with exact.arithmetic():  # every rule is applied: which branch of the schema an answer is in depends on them
            found = best_match(_extended({MARK: stands})(self._schema).iter_errors(exact.loads(answer)))
        if found is None:
            return ""
        place = "/".join(str(step) for step in found.absolute_path) or "the whole answer"
        return f"at {place}: {found.message}"
