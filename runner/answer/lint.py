"""What is wrong with an output schema, all of it at once, before anything starts.

Three questions: is it a JSON Schema that we read as it is meant; does every place in it have an end (bounds); can an
answer fit every place (llguidance compiles each by itself, so that the problem has a path). What the grammar cannot
hold and the finished answer is checked for is a note, not a finding. Pure. Called by config.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for

from runner.answer.bounds import Finding, at, longest_answer
from runner.answer.grammar import CHECKED_AFTER, Path, grammar_of, nodes, problem_of, shown, warnings_of

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_HELD: Final = frozenset(
    """anyOf oneOf allOf $ref const enum type items prefixItems minItems maxItems properties additionalProperties
    required minProperties maxProperties minLength maxLength pattern format minimum maximum exclusiveMinimum
    exclusiveMaximum multipleOf""".split()  # noqa: SIM905 - a list of them is a screen long
)
_NOTED: Final = frozenset(
    """$defs definitions $schema $comment title description default readOnly writeOnly examples deprecated
    contentMediaType contentEncoding contentSchema""".split()  # noqa: SIM905
)
_REFUSED: Final = {
    "patternProperties": "keys of a pattern are made up by the model: give each key in properties",
    "x-guidance": "white space and separators are the runner's: take it out",
    "$id": "a schema here has no address of its own: take it out",
    "$anchor": "write the reference as #/$defs/NAME",
    "$dynamicRef": "write the reference as #/$defs/NAME",
    "$dynamicAnchor": "write the reference as #/$defs/NAME",
    "additionalItems": "draft 2020-12 has prefixItems and items",
}
_SHOWN: Final = 160


@dataclass(frozen=True, slots=True)
class Linted:
    """`characters`: the longest answer as JSON; `grammar` is None when there are findings."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    characters: int
    grammar: str | None


def lint(schema: Mapping[str, Any]) -> Linted:
    """A schema that answers are held to while they are written."""
    findings = list(_meta(schema, Draft202012Validator)) or list(_words(schema))
    if findings:  # what is no schema cannot be measured
        return Linted(tuple(findings), (), 0, None)
    characters, findings = longest_answer(schema)
    findings += _unfit(schema)
    if findings or characters is None:
        return Linted(tuple(findings), (), 0, None)
    grammar = grammar_of(schema)
    return Linted((), tuple(_notes(schema, grammar)), characters, grammar)


def loose_findings(schema: Mapping[str, Any]) -> Iterator[Finding]:
    """A schema that only finished answers are checked against, of any draft."""
    yield from _meta(schema, validator_for(schema, default=Draft202012Validator))


def _meta(schema: Mapping[str, Any], validator: type[Validator]) -> Iterator[Finding]:
    """Where it is no JSON Schema at all."""
    errors: Iterator[ValidationError] = validator(validator.META_SCHEMA).iter_errors(schema)
    for error in sorted(errors, key=lambda each: [str(step) for step in each.absolute_path]):
        path = tuple(str(step) for step in error.absolute_path)
        yield Finding(
            path, f"this is not a JSON Schema: {_cut(error.message)}", cure="see json-schema.org, draft 2020-12"
        )


def _words(schema: Mapping[str, Any]) -> Iterator[Finding]:
    """Keywords nobody would read, references that lead nowhere, patterns that are none."""
    known = _HELD | _NOTED | CHECKED_AFTER
    if schema.get("$schema", DIALECT) != DIALECT:
        text = f"$schema is {schema['$schema']!r}, what is held to a grammar is read as draft 2020-12"
        yield Finding((), text, {"$schema": DIALECT})
    for path, node in nodes(schema):
        if not isinstance(node, Mapping):
            continue
        for keyword in node:
            if keyword in _REFUSED:
                yield Finding(path, f"{keyword} cannot be held", cure=_REFUSED[keyword])
            elif keyword not in known and not keyword.startswith("x-"):
                near = difflib.get_close_matches(keyword, known, 1)
                meant = f"did you mean {near[0]}? " if near else ""
                yield Finding(path, f"there is no keyword {keyword!r}", cure=f"{meant}your own begin with x-")
        if (reference := node.get("$ref")) is not None:
            if not re.match(r"#/(\$defs|definitions)/", reference):
                yield Finding(path, f"$ref {reference!r} leads out of $defs", cure="write it as #/$defs/NAME")
            elif at(schema, reference) is None:
                yield Finding(path, f"$ref {reference!r} points to nothing", cure=f"define it under {reference[1:]}")
        if (pattern := node.get("pattern")) is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                yield Finding(path, f"pattern {pattern!r} is no regular expression: {error}", cure="correct it")


def _unfit(schema: Mapping[str, Any]) -> Iterator[Finding]:
    """Places that no answer can fill, innermost first: what stands around them fails for the same reason."""
    definitions = {keyword: schema[keyword] for keyword in ("$defs", "definitions") if keyword in schema}
    unfit: list[Path] = []
    for path, node in sorted(nodes(schema), key=lambda each: -len(each[0])):
        if not isinstance(node, Mapping) or any(inner[: len(path)] == path for inner in unfit):
            continue
        problem = problem_of(grammar_of({**node, **definitions}))
        if problem:
            unfit.append(path)
            yield _unfit_finding(path, problem)
        else:
            yield from _dead_members(path, node)


def _unfit_finding(path: Path, problem: str) -> Finding:
    reason = problem.removeprefix("Unsatisfiable schema: ")
    if reason != problem:
        return Finding(
            path, f"no answer can fit here: {_cut(reason)}", cure="correct the rules that contradict each other"
        )
    if reason.startswith("regex parse error"):  # the pattern and a marker stand between that line and the reason
        reason = f"pattern: {reason.rpartition('error: ')[2]}"
    return Finding(path, f"the grammar cannot hold this: {_cut(reason)}", cure="write it in another way")


def _dead_members(path: Path, node: Mapping[str, Any]) -> Iterator[Finding]:
    """Choices of an enum that the node's own rules forbid: they could never be chosen."""
    rules = {keyword: value for keyword, value in node.items() if keyword in _HELD - {"enum", "$ref"}}
    validator = Draft202012Validator(rules)
    for member in node.get("enum", ()):
        if (error := next(validator.iter_errors(member), None)) is not None:
            text = (
                f"enum holds {json.dumps(member, ensure_ascii=False)}, which can never be chosen: {_cut(error.message)}"
            )
            yield Finding(path, text, cure="take it out, or widen the rule")


def _notes(schema: Mapping[str, Any], grammar: str) -> Iterator[str]:
    for path, node in nodes(schema):
        if isinstance(node, Mapping):
            for keyword in sorted(CHECKED_AFTER & node.keys()):
                yield f"{keyword} at {shown(path)} is not held while an answer is written, but checked when it is done"
    if any("oneOf" in warning for warning in warnings_of(grammar)):
        yield "oneOf is held as anyOf; that only one of them fits is checked when an answer is done"


def _cut(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
