"""What the answers of a job look like: its schema, given as JSON Schema or as fields, linted, with the grammar for it.

Findings about a schema become problems in the words of the form that the user wrote. Reads the files that a job names
and nothing else. Called by job.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from runner.answer.bounds import Finding
from runner.answer.fields import as_keys, as_words, field_path, schema_of
from runner.answer.grammar import begins
from runner.config.checks import read_text
from runner.config.schema import JobTree
from runner.errors import Problem

CHARACTERS_PER_TOKEN: Final = 3
"""Fewer than plain text in most languages, more than digits: what job.max_tokens is held against."""

_LOOSE: Final = "job.constrain=false to check answers only when they are done"


@dataclass(frozen=True, slots=True)
class Answers:
    """`schema` is JSON text, its keys in the order of the answer; None = free text. `characters`: the longest answer, 0
    when nothing bounds it. `notes`: what is not held while an answer is written."""

    schema: str | None = None
    grammar: str | None = None
    characters: int = 0
    notes: tuple[str, ...] = ()


def pass_answers(tree: JobTree, problems: list[Problem]) -> Answers:
    """Empty when there is none or it cannot be used, with the reasons in `problems`."""
    schema = _schema(tree, problems)
    if schema is None:
        return Answers()
    from runner.answer.evidence import findings, marks
    from runner.answer.lint import lint, loose_findings  # only jobs with a schema pay for jsonschema and llguidance

    words = _in_fields if tree.fields is not None else _in_schema
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    if not tree.constrain:
        loose = list(loose_findings(schema))
        problems += map(words, loose or (findings(schema) if tree.evidence else ()))
        return Answers(text)
    linted = lint(schema)
    problems += map(words, linted.findings)
    if linted.grammar is None:
        return Answers()
    problems += map(words, findings(schema) if tree.evidence else ())
    _budget(tree, schema, linted.characters, problems)
    _prefix(tree.answer_prefix, linted.grammar, problems)
    unread = () if tree.evidence else marks(schema)
    notes = [f"the quote at {place} is not looked for: job.evidence is false" for place in unread]
    return Answers(text, linted.grammar, linted.characters, (*linted.notes, *notes))


def _in_schema(finding: Finding) -> Problem:
    place = "/".join(finding.path)
    where = f"job.schema at {place}" if place else "job.schema"
    added = ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in finding.add.items())
    return Problem(f"{where}: {finding.text}", f"add {added} there, or {_LOOSE}" if added else finding.cure)


def _in_fields(finding: Finding) -> Problem:
    """What lint says of the schema, in the words of the field it was made from."""
    added = as_keys(finding.add)
    text = as_words(finding.text)
    keys = ", ".join(f"{key}: {json.dumps(value)}" for key, value in added.items())
    return _of_field(field_path(finding.path), text, f"add {keys}, or {_LOOSE}" if keys else finding.cure)


def _of_field(path: tuple[str, ...], text: str, cure: str) -> Problem:
    return Problem(f"{'.'.join(('job.fields', *path))}: {text}", cure)


def _budget(tree: JobTree, schema: Mapping[str, Any], characters: int, problems: list[Problem]) -> None:
    """A schema that the longest answer would not be finished for."""
    what = "answer"
    if tree.keep_whole_items and schema.get("type") == "array":  # a list that is cut keeps its whole items
        from runner.answer.bounds import longest_answer

        one = {**schema, "maxItems": 1, "minItems": min(1, schema.get("minItems", 0))}
        characters, what = longest_answer(one)[0] or characters, "item"
    left = max(0, characters - len(tree.answer_prefix))
    needed = -(-left // CHARACTERS_PER_TOKEN)
    if needed > tree.max_tokens:
        problems.append(
            Problem(
                f"job.max_tokens is {tree.max_tokens}, the longest {what} of the schema has {left} characters, about "
                f"{needed} tokens: an answer that is cut is a failed one",
                f"job.max_tokens={needed}, or lower maxLength and maxItems in the schema",
            )
        )


def _prefix(answer_prefix: str, grammar: str, problems: list[Problem]) -> None:
    fits = begins(grammar, answer_prefix)
    if fits is not None:
        taken = answer_prefix.encode()[:fits].decode(errors="replace")
        rest = answer_prefix.encode()[fits:].decode(errors="replace")
        seen = f"after {taken!r} it cannot go on with {rest!r}" if rest else "nothing is left for the model to write"
        problems.append(
            Problem(
                f"job.answer_prefix is {answer_prefix!r}, no answer of the schema begins with it: {seen}",
                "begin it as the schema does, with ', ' and ': ' as separators, or job.answer_prefix=''",
            )
        )


def _schema(tree: JobTree, problems: list[Problem]) -> dict[str, Any] | None:
    """The output schema; that of the labels for classify."""
    if tree.fields is not None:
        return _of_fields(tree, problems)
    value = tree.schema
    if value is None and tree.task == "classify":
        return {
            "type": "object",
            "properties": {"label": {"enum": list(tree.labels)}},
            "required": ["label"],
            "additionalProperties": False,
        }
    if isinstance(value, str):
        text = value if value.lstrip().startswith("{") else read_text("job.schema", value, problems)
        if text is None:
            return None
        try:
            value = json.loads(text)
        except ValueError as error:
            problems.append(
                Problem(f"job.schema is {_short(value)!r}, which is not JSON: {error}", "give a JSON Schema file")
            )
            return None
    if value is not None and not isinstance(value, dict):
        problems.append(
            Problem(f"job.schema is {value!r}, it must be a mapping or the path of a JSON file", "job.schema=FILE.json")
        )
        return None
    return value


def _of_fields(tree: JobTree, problems: list[Problem]) -> dict[str, Any] | None:
    fields = tree.fields
    if tree.schema is not None:
        problems.append(Problem("job.schema and job.fields are both set, only one can be used", "job.schema=null"))
        return None
    if isinstance(fields, str):
        text = read_text("job.fields", fields, problems)
        if text is None:
            return None
        import yaml

        try:
            fields = yaml.safe_load(text)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            problems.append(Problem(f"job.fields is {tree.fields!r}, which is not YAML: {reason}", "correct the file"))
            return None
    schema, findings = schema_of(fields)
    problems += [_of_field(finding.path, finding.text, finding.cure) for finding in findings]
    return None if findings else schema


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
