"""`runner diff A B`: what differs between two runs: configuration, environment, results, speed. Thin. Called by cli."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from runner.commands.parser import Parser
from runner.display import visible
from runner.errors import EXIT_OK, EXIT_REGRESSION
from runner.index import difference
from runner.layout import DEFAULT_OUTPUTS
from runner.store import folder

SHOWN: Final = 20
"""Documents of each kind."""


def main(argv: list[str]) -> int:
    """0; with --check 4 when a document ended otherwise, says something else or is in one run alone."""
    parser = Parser(prog="runner diff", description="Show what differs between two runs.")
    parser.add_argument("a", metavar="A", help="folder, name or id of a run, or `latest`")
    parser.add_argument("b", metavar="B", help="the run that is held against it")
    parser.add_argument("--check", action="store_true", help="exit 4 when results differ")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    outputs = Path(options.outputs)
    a, b = folder.find(outputs, options.a), folder.find(outputs, options.b)
    config, environment = difference.config(a, b), difference.environment(a, b)
    results, speed = difference.results(a, b), difference.speed(a, b)
    if options.json:
        found = {"config": config, "environment": environment, "results": asdict(results), "speed": speed}
        print(json.dumps({"a": str(a.root), "b": str(b.root), **found}, indent=2))
    else:
        lines = [f"A {visible(str(a.root), 0)}", f"B {visible(str(b.root), 0)}"]
        lines += _values("configuration", config) + _values("environment", environment) + _results(results)
        print("\n".join(lines + _speed(speed)))
    return EXIT_REGRESSION if options.check and results.differ else EXIT_OK


def _values(name: str, found: dict[str, tuple[Any, Any]]) -> list[str]:
    if not found:
        return [f"{name}: the same"]
    return [f"{name}:"] + [
        f"  {visible(key)}: {visible(json.dumps(old, ensure_ascii=False), 100)} -> "
        f"{visible(json.dumps(new, ensure_ascii=False), 100)}"
        for key, (old, new) in found.items()
    ]


def _results(found: difference.Results) -> list[str]:
    if not found.differ:
        return [f"results: the same for all {found.same} documents"]
    lines = [f"results: {found.same} documents the same"]
    lines += _some("another answer", found.changed)
    lines += _some("ended otherwise", [f"{source}: {one} -> {other}" for source, one, other in found.ended_otherwise])
    lines += _some("only in A", found.only_a)
    return lines + _some("only in B", found.only_b)


def _some(what: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = [f"    and {len(items) - SHOWN} more (--json lists all)"] if len(items) > SHOWN else []
    return [f"  {len(items)} {what}:", *(f"    {visible(item)}" for item in items[:SHOWN]), *more]


def _speed(found: dict[str, tuple[float, float, float]]) -> list[str]:
    if not found:
        return ["speed: not both runs have a summary"]
    lines = ["speed (one run beside another is no proof: `runner validate`, `runner tune prove` measure in pairs):"]
    return lines + [
        f"  {name:16} {one:,.1f} -> {other:,.1f}  ({ratio:.3f}x)" for name, (one, other, ratio) in found.items()
    ]
