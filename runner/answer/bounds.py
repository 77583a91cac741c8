"""How long the longest answer of a schema is, and which places have no end.

A model held to a grammar stops where the grammar ends and not before: whatever may go on, goes on until
`job.max_tokens` cuts it, most of all in small models. Works on the subset that `lint` has let through: references to
$defs alone, draft 2020-12. Called by lint.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from runner.answer.grammar import Path

FIXED_FORMATS: Final = {"date": 10, "uuid": 36, "ipv4": 15, "ipv6": 45}
"""Characters at most. The others have parts without end: fractions of a second, names, paths."""

_FORMAT_LENGTHS: Final = {"date-time": 35, "time": 21, "duration": 30, "email": 254, "hostname": 253, "uri": 300}
"""What is proposed for them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a schema at `path`. `add`: keywords that would cure it, as an example; `cure` in words when
    no keyword does."""

    path: Path
    text: str
    add: Mapping[str, Any] = field(default_factory=dict)
    cure: str = ""


Longest = tuple[int | None, list[Finding]]
"""Characters of the longest JSON text, or None and the reasons."""


def longest_answer(schema: Any) -> Longest:
    """Of a whole schema."""
    return _Bounds(schema).of(schema, (), ())


def at(schema: Any, reference: str) -> tuple[Path, Any] | None:
    """What `#/$defs/NAME/...` points to."""
    node, path = schema, tuple(_unescaped(step) for step in reference.split("/")[1:])
    for step in path:
        try:
            node = node[int(step)] if isinstance(node, list) else node[step]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return path, node


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


@dataclass(frozen=True, slots=True)
class _Bounds:
    root: Any
    known: dict[str, Longest] = field(default_factory=dict)  # by reference: many may point to one definition

    def of(self, node: Any, path: Path, inside: tuple[str, ...]) -> Longest:
        """A node is as long as the tightest of the rules that hold for it together."""
        if node is False:
            return 0, []
        rules = list(self._rules(node, path, inside)) if isinstance(node, Mapping) else []
        if not rules:
            return None, [Finding(path, "anything may stand here: there is no type", {"type": "string"})]
        bounded = [longest for longest, _ in rules if longest is not None]
        if bounded:
            return min(bounded), []
        return None, rules[0][1]

    def _rules(self, node: Mapping[str, Any], path: Path, inside: tuple[str, ...]) -> Iterator[Longest]:
        """The most telling first: its reasons are shown when none has an end."""
        for keyword, members in (("const", [node.get("const")]), ("enum", node.get("enum", []))):
            if keyword in node:
                yield max((_length(member) for member in members), default=0), []
        if "$ref" in node:
            yield self._reference(node["$ref"], path, inside)
        for keyword in ("anyOf", "oneOf"):
            if keyword in node:
                yield _worst(
                    self.of(option, (*path, keyword, str(index)), inside) for index, option in enumerate(node[keyword])
                )
        for index, part in enumerate(node.get("allOf", ())):
            yield self.of(part, (*path, "allOf", str(index)), inside)
        if "type" in node:
            types = [node["type"]] if isinstance(node["type"], str) else node["type"]
            yield _worst(self._type(name, node, path, inside) for name in types)

    def _reference(self, reference: str, path: Path, inside: tuple[str, ...]) -> Longest:
        if reference in inside:
            text = f"{reference} contains itself, so that answers may nest without end"
            return None, [Finding(path, text, cure="write the levels out, each with a definition of its own")]
        if reference not in self.known:
            found = at(self.root, reference)
            assert found is not None, "lint has followed every reference"
            self.known[reference] = self.of(found[1], found[0], (*inside, reference))
        return self.known[reference]

    def _type(self, name: str, node: Mapping[str, Any], path: Path, inside: tuple[str, ...]) -> Longest:
        match name:
            case "null":
                return 4, []
            case "boolean":
                return 5, []
            case "string":
                return _string(node, path)
            case "integer" | "number":
                return _number(name, node, path)
            case "array":
                return self._array(node, path, inside)
            case _:
                return self._object(node, path, inside)

    def _array(self, node: Mapping[str, Any], path: Path, inside: tuple[str, ...]) -> Longest:
        first = node.get("prefixItems", [])
        most = node.get("maxItems", len(first) if node.get("items") is False else None)
        parts = [self.of(item, (*path, "prefixItems", str(index)), inside) for index, item in enumerate(first[:most])]
        if most is None:
            parts.append((None, [Finding(path, "an array without maxItems has no end", {"maxItems": 10})]))
        if "items" not in node and (most is None or most > len(first)):
            text = "an array without items may hold anything"
            parts.append((None, [Finding(path, text, {"items": {"type": "string", "maxLength": 200}})]))
        elif most is None or most > len(first):
            longest, found = self.of(node["items"], (*path, "items"), inside)
            parts.append((None if longest is None or most is None else longest * (most - len(first)), found))
        return _sum(parts, 2 + 2 * max(0, (most or 0) - 1))

    def _object(self, node: Mapping[str, Any], path: Path, inside: tuple[str, ...]) -> Longest:
        properties = node.get("properties", {})
        parts = [self.of(value, (*path, "properties", name), inside) for name, value in properties.items()]
        if node.get("additionalProperties", True) is not False:
            text = "an object without additionalProperties: false takes keys without end"
            parts.append((None, [Finding(path, text, {"additionalProperties": False})]))
        return _sum(parts, 2 + sum(_length(name) + 2 for name in properties) + 2 * max(0, len(properties) - 1))


def _string(node: Mapping[str, Any], path: Path) -> Longest:
    named = node.get("format", "")
    ends = [end for end in (node.get("maxLength"), FIXED_FORMATS.get(named)) if end is not None]
    if not ends:
        what = f"a string of format {named}" if named in _FORMAT_LENGTHS else "a string"
        return None, [
            Finding(path, f"{what} without maxLength has no end", {"maxLength": _FORMAT_LENGTHS.get(named, 200)})
        ]
    return min(ends) + 2, []


def _number(name: str, node: Mapping[str, Any], path: Path) -> Longest:
    low = [node[keyword] for keyword in ("minimum", "exclusiveMinimum") if keyword in node]
    high = [node[keyword] for keyword in ("maximum", "exclusiveMaximum") if keyword in node]
    step = node.get("multipleOf")
    missing: dict[str, float] = {} if low else {"minimum": 0}
    missing |= {"maximum": 1_000_000} if not high else {}
    missing |= {"multipleOf": 0.01} if name == "number" and step is None else {}
    if missing:
        what = "an integer" if name == "integer" else "a number"
        return None, [Finding(path, f"{what} without {' and '.join(missing)} has digits without end", missing)]
    digits = max(len(f"{int(end)}") for end in (*low, *high)) + 1  # a minus, or the digit that rounding adds
    exponent = Decimal(str(step)).as_tuple().exponent if name == "number" else 0
    decimals = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    return digits + (decimals + 1 if decimals else 0), []


def _length(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))


def _worst(options: Iterable[Longest]) -> Longest:
    """One of them is written."""
    sizes, findings = _collected(options)
    return (None, findings) if sizes is None else (max(sizes, default=0), [])


def _sum(parts: Iterable[Longest], around: int) -> Longest:
    """All of them are written."""
    sizes, findings = _collected(parts)
    return (None, findings) if sizes is None else (sum(sizes) + around, [])


def _collected(parts: Iterable[Longest]) -> tuple[list[int] | None, list[Finding]]:
    sizes: list[int] | None = []
    findings: list[Finding] = []
    for size, found in parts:
        findings += [finding for finding in found if finding not in findings]
        if size is None:
            sizes = None
        elif sizes is not None:
            sizes.append(size)
    return sizes, findings
