"""From a JSON Schema to the llguidance grammar that holds an answer to it while it is written.

Compact JSON with one space behind a comma and a colon, as models have read it most: free white space is where small
models lose themselves. What a grammar cannot hold is left out of it, named, and checked when the answer is done.
llguidance is imported when it is first needed: only jobs with a schema pay for it.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from llguidance import LLTokenizer
    from llguidance._lib import JsonCompileOptions

GRAMMAR_VERSION: Final = 1
"""Counts into the identity of the work: raised when the same schema gives another grammar, by us or by llguidance."""

OPTIONS: Final[JsonCompileOptions] = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    # An overlapping oneOf is held as anyOf; that just one of them fits is checked in the finished answer.
    "coerce_one_of": True,
    # No \uXXXX: llguidance has it for control characters alone.
    "json_allowed_escapes": 'nrt\\"',
}

CHECKED_AFTER: Final = frozenset(
    {
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords of JSON Schema that llguidance does not know."""

# Keywords below which schemas stand: one, a list of them, a mapping to them.
_ONE: Final = ("items", "additionalProperties", "additionalItems")
_LISTS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPPINGS: Final = ("properties", "patternProperties", "$defs", "definitions")

Path = tuple[str, ...]


def children(node: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """The schemas directly below one, those that only the finished answer is checked against left out."""
    for keyword in _ONE:
        if keyword in node:
            yield (keyword,), node[keyword]
    for keyword in _LISTS:
        for index, child in enumerate(node.get(keyword, ())):
            yield (keyword, str(index)), child
    for keyword in _MAPPINGS:
        for name, child in node.get(keyword, {}).items():
            yield (keyword, name), child


def nodes(schema: Any, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every schema in a schema with its path, parents first."""
    yield at, schema
    if isinstance(schema, Mapping):
        for step, child in children(schema):
            yield from nodes(child, (*at, *step))


def shown(path: Path) -> str:
    """A path for people."""
    return "/".join(path) or "the top"


def grammar_of(schema: Mapping[str, Any]) -> str:
    """llguidance's text of the grammar; `problem_of` says whether it is one."""
    from llguidance import LLMatcher

    held = copy.deepcopy(dict(schema))
    for _, node in nodes(held):
        if isinstance(node, dict):
            for keyword in CHECKED_AFTER & node.keys():
                del node[keyword]
    return str(LLMatcher.grammar_from_json_schema(json.dumps(held, ensure_ascii=False), overrides=OPTIONS))


def problem_of(grammar: str) -> str:
    """Why llguidance refuses the grammar ("Unsatisfiable schema: ..."), or the empty string."""
    refused, messages = _validated(grammar)
    return messages[0] if refused else ""


def warnings_of(grammar: str) -> list[str]:
    """What llguidance holds loosely."""
    refused, messages = _validated(grammar)
    return [] if refused else messages


def _validated(grammar: str) -> tuple[bool, list[str]]:
    from llguidance import LLMatcher

    return LLMatcher.validate_grammar_with_warnings(grammar, _bytes())


def begins(grammar: str, text: str) -> int | None:
    """None when an answer may begin with `text` and go on; else how many of its bytes fit."""
    from llguidance import LLMatcher

    matcher = LLMatcher(_bytes(), grammar, log_level=0)
    data = text.encode()
    taken = int(matcher.try_consume_tokens(list(data)))
    return None if taken == len(data) and not matcher.is_stopped() else taken


@functools.cache
def _bytes() -> LLTokenizer:
    """A token a byte: whether a grammar can be met depends on no model's vocabulary."""
    from llguidance import LLTokenizer

    return LLTokenizer("byte")
