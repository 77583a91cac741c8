"""Output schemas written as fields: a name, a Python type and its bounds, as in a Pydantic model, become a JSON Schema.

    title: {type: str, max_length: 80, description: as it is printed}
    kind: {type: enum, values: [invoice, letter]}
    total: {type: float, ge: 0, le: 100000, decimals: 2, optional: true}
    tags: {type: [str], max_length: 20, max_items: 5}

Every key is always there; `optional` lets its value be null. Whether the bounds suffice is lint's question, asked of
the schema. Pure. Called by config.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Mapping
from typing import Any, Final

from runner.answer.bounds import Finding
from runner.answer.grammar import Path

# key of a field -> keyword of JSON Schema, by type of the value.
_KEYS: Final[dict[str, dict[str, str]]] = {
    "str": {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern", "quote": "x-quote"},
    "int": {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"},
    "float": {
        "ge": "minimum",
        "gt": "exclusiveMinimum",
        "le": "maximum",
        "lt": "exclusiveMaximum",
        "decimals": "multipleOf",
    },
    "bool": {},
    "date": {"quote": "x-quote"},
    "enum": {"values": "enum"},
    "object": {"fields": "properties"},
}
_LIST_KEYS: Final = {"min_items": "minItems", "max_items": "maxItems"}
_ALWAYS: Final = ("type", "description", "optional")
_JSON: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "date": "string"}
_OF_LIST: Final = re.compile(r"list\[\s*(.+?)\s*\]\Z")
_LITERAL: Final = re.compile(r"Literal(\[.+\])\Z")


def schema_of(fields: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """The JSON Schema, and what is wrong with the fields; paths name fields."""
    findings: list[Finding] = []
    schema = _object(fields, (), findings)
    return schema, findings


def field_path(path: Path) -> Path:
    """The field that a place of the schema was made from."""
    out: list[str] = []
    steps = iter(path)
    for step in steps:
        if step == "properties":
            out.append(next(steps, ""))
    return tuple(name for name in out if name)


def as_keys(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords that lint proposes, as keys of a field."""
    names = {keyword: key for keys in (*_KEYS.values(), _LIST_KEYS) for key, keyword in keys.items()}
    return {
        names.get(keyword, keyword): _decimals(value) if keyword == "multipleOf" else value
        for keyword, value in keywords.items()
    }


def as_words(text: str) -> str:
    """A sentence of lint's with the keys of a field for the keywords in it."""
    names = {keyword: key for keys in (*_KEYS.values(), _LIST_KEYS) for key, keyword in keys.items()}
    return re.sub(r"\w[\w-]*", lambda word: names.get(word[0], word[0]), text)


def _decimals(step: float) -> int:
    return max(0, len(f"{step:.9f}".rstrip("0").partition(".")[2]))


def _object(fields: Any, path: Path, findings: list[Finding]) -> dict[str, Any]:
    if not isinstance(fields, Mapping) or not fields:
        findings.append(Finding(path, f"fields are {fields!r}: a mapping of names to types is needed", cure=_EXAMPLE))
        fields = {}
    properties: dict[str, Any] = {}
    for name, field in fields.items():
        if not isinstance(name, str) or not name:
            findings.append(Finding(path, f"{name!r} is no name of a field", cure="write it as text, in quotes"))
            continue
        properties[name] = _field(field, (*path, name), findings)
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


_EXAMPLE: Final = "for example {title: {type: str, max_length: 80}}"


def _field(field: Any, path: Path, findings: list[Finding]) -> dict[str, Any]:
    keys: dict[str, Any] = dict(field) if isinstance(field, Mapping) else {"type": field}
    kind, many, values = _kind(keys.get("type"))
    if values is not None:
        keys = {**keys, "values": values}
    if not isinstance(kind, str) or kind not in _KEYS:
        near = difflib.get_close_matches(str(kind), _KEYS, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        findings.append(
            Finding(
                path,
                f"type is {keys.get('type')!r}, it must be one of {', '.join(_KEYS)}, or a list of one",
                cure=f"{meant}a list is [str] or list[str]",
            )
        )
        return {}
    _check_keys(keys, kind, many, path, findings)
    node = _scalar(kind, keys, path, findings)
    if many:
        node = {"type": "array", "items": node} | {
            keyword: keys[key] for key, keyword in _LIST_KEYS.items() if key in keys
        }
    if keys.get("optional") is True:
        node = {"enum": [*node["enum"], None]} if "enum" in node else {**node, "type": [node["type"], "null"]}
    if "description" in keys:
        node = {"description": str(keys["description"]), **node}
    return node


def _kind(written: Any) -> tuple[Any, bool, list[Any] | None]:
    """(type of the value, whether it is a list, the members of a Literal)."""
    many = False
    if isinstance(written, list) and len(written) == 1:
        written, many = written[0], True
    elif isinstance(written, str) and (found := _OF_LIST.match(written)):
        written, many = found[1], True
    if isinstance(written, str) and (found := _LITERAL.match(written)):
        try:
            return "enum", many, list(ast.literal_eval(found[1]))
        except (ValueError, SyntaxError):
            return written, many, None
    return written, many, None


def _check_keys(keys: Mapping[str, Any], kind: str, many: bool, path: Path, findings: list[Finding]) -> None:
    known = [*_ALWAYS, *_KEYS[kind], *(_LIST_KEYS if many else ())]
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            what = f"a list of {kind}" if many else kind
            cure = f"{meant}{what} takes {', '.join(known)}"
            findings.append(Finding(path, f"{key!r} says nothing about {what}", cure=cure))
    for key in ("optional", "quote"):
        if key in keys and not isinstance(keys[key], bool):
            findings.append(Finding(path, f"{key} is {keys[key]!r}, it must be true or false", cure=f"{key}: true"))


def _scalar(kind: str, keys: Mapping[str, Any], path: Path, findings: list[Finding]) -> dict[str, Any]:
    if kind == "enum":
        values = keys.get("values")
        if not isinstance(values, list) or not values or any(isinstance(value, dict | list) for value in values):
            text = f"values are {values!r}: an enum needs a list of texts, numbers or booleans"
            findings.append(Finding(path, text, cure="values: [invoice, letter, other]"))
            return {"enum": [""]}
        return {"enum": list(values)}
    if kind == "object":
        return _object(keys.get("fields"), path, findings)
    node: dict[str, Any] = {"type": _JSON[kind]} | ({"format": "date"} if kind == "date" else {})
    for key, keyword in _KEYS[kind].items():
        if key not in keys:
            continue
        value = keys[key]
        if key == "decimals":
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 9:
                findings.append(Finding(path, f"decimals is {value!r}, it must be 0 to 9", cure="decimals: 2"))
                continue
            value = 1 if value == 0 else float(f"1e-{value}")
        if key != "quote" or value is True:
            node[keyword] = value
    return node
