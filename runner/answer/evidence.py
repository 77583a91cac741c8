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

from runner.answer.bounds import Finding
from runner.answer.grammar import nodes

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
            yield Finding(path, f"{MARK} marks strings, the type here is {node.get('type')!r}", cure="mark the string")
        elif node.get("minLength", 0) < 1:
            yield Finding(path, "a quote without minLength may be empty, which proves nothing", {"minLength": LEAST})


def _extended(keywords: Mapping[str, Any]) -> type[Validator]:
    made: type[Validator] = extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]
    return made


class Evidence:
    """The quotes of one schema, looked for in one text after another."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    def problem(self, value: Any, source: str) -> str:
        """Empty when every quote of a valid answer stands in `source`."""
        text = plain(source)

        def stands(_validator: Validator, marked: Any, quote: Any, _schema: Any) -> Iterator[ValidationError]:
            if marked is True and isinstance(quote, str) and plain(quote) not in text:
                shown = quote if len(quote) <= _SHOWN else quote[: _SHOWN - 1] + "…"
                yield ValidationError(f"the document does not contain {shown!r}")

        found = best_match(_extended({MARK: stands})(self._schema).iter_errors(value))
        if found is None:
            return ""
        place = "/".join(str(step) for step in found.absolute_path) or "the whole answer"
        return f"at {place}: {found.message}"
