"""`runner validate [BASELINE]`: goldens, promises, and speed beside another build in pairs; exit 4 on a regression.

Thin: runner.validate checks and measures, runner.compare judges. Called by cli.
"""

from __future__ import annotations

import json
import shlex
import tempfile
import time
from argparse import ArgumentTypeError, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runner.commands.parser import Parser
from runner.compare import pairs
from runner.display import table, visible
from runner.errors import EXIT_OK, EXIT_REGRESSION
from runner.layout import DEFAULT_OUTPUTS


def main(argv: list[str]) -> int:
    """0, or 4 when a golden, a promise or the speed is not what it was."""
    parser = Parser(prog="runner validate", description="Check goldens and promises, and speed beside another build.")
    parser.add_argument("baseline", nargs="?", help="wheel, built folder or commit: its speed is compared")
    parser.add_argument("--pairs", type=_pairs, default=30, metavar="N", help="of units, 20 or more (30)")
    parser.add_argument("--runs", metavar="WORDS", help="whole runs as units: 'input=FOLDER job.max_documents=8'")
    parser.add_argument("--speed-only", action="store_true", help="leave goldens and promises out")
    parser.add_argument("--targets", action="store_true", help="the required figures and what is claimed; runs nothing")
    parser.add_argument("--markdown", action="store_true", help="with --targets: docs/claims.md")
    parser.add_argument("--history", action="store_true", help="earlier comparisons here, with changes of level")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder, for the history (default: outputs)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    if options.targets:
        return _targets(options)
    history = Path(options.outputs) / "validate" / "history.jsonl"
    if options.history:
        return _history(history, options.json)
    found: dict[str, Any] = {"problems": []}
    with tempfile.TemporaryDirectory(prefix="runner-validate-") as folder:
        scratch = Path(folder)
        if not options.speed_only:
            found["problems"] = _checks(scratch, options.json)
        if options.baseline:
            found["speed"] = _speed(options, scratch, history)
    bad = bool(found["problems"]) or found.get("speed", {}).get("regression", False)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print("REGRESSION" if bad else "ok")
    return EXIT_REGRESSION if bad else EXIT_OK


def _checks(scratch: Path, quiet: bool) -> list[str]:
    from runner.validate import promises

    problems = promises.golden_problems(scratch)
    lines = [("what is read of the example corpus is what it was", "; ".join(problems[:3]))]
    _say(*lines[0], quiet)
    for promise, problem in promises.promises(scratch):
        _say(promise, problem, quiet)
        if problem:
            problems.append(f"{promise}: {problem}")
    return problems


def _say(promise: str, problem: str, quiet: bool) -> None:
    if not quiet:
        print(f"{'NOT ' if problem else ''}kept: {promise}" + (f": {visible(problem)}" if problem else ""), flush=True)


def _speed(options: Namespace, scratch: Path, history: Path) -> dict[str, Any]:
    """A/A of the baseline first: what this machine can show today; then A/B."""
    from runner.config.overrides import read_words
    from runner.machine import detect
    from runner.validate import builds, corpus, record, session

    build = builds.find(options.baseline)
    places = (build.path, build.path, builds.own().path)
    units: list[session.Unit | session.WholeRun]
    if options.runs is None:
        documents = corpus.write(scratch / "documents")
        units = [session.Arm(path, documents).start(corpus.overrides(documents)) for path in places]
    else:
        words = read_words(shlex.split(options.runs), detect()).overrides
        units = [session.WholeRun(path, words, scratch / f"run{number}") for number, path in enumerate(places)]
    try:
        same = session.pairs(units[0], units[1], 2 * options.pairs)
        known = pairs.calibrate(same, options.pairs)
        measured = session.pairs(units[0], units[2], options.pairs)
        cost = units[2]()
    finally:
        for unit in units:
            unit.close()
    judged = pairs.judge(measured, known.floors)
    found = {
        "baseline": build.name,
        "pairs": options.pairs,
        "false_alarms": known.false_alarms,
        "spread": dict(known.spread),
        "measures": {name: asdict(each) for name, each in judged.items()},
        "regression": pairs.regressed(judged),
    }
    if not options.json:
        _print_speed(build.name, judged, known)
    if options.runs is None:  # the history is of one kind of unit
        record.append(history, {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "cpu_s_per_unit": cost["cpu"], **found})
    return found


def _print_speed(name: str, judged: dict[str, pairs.Judged], known: pairs.Calibration) -> None:
    rows = [
        (measure, each.word, each.effect.ratio, f"[{each.effect.low:.3f}, {each.effect.high:.3f}]", f"{each.z:+.2f}",
         f"{each.floor:.1%}")
        for measure, each in judged.items()
    ]  # fmt: skip
    print(f"speed beside {visible(name)}: cost of a unit, this build over that one")
    print(table(("time", "verdict", "ratio", "95 %", "z", "floor"), rows))
    share = f"{known.false_alarms:.1%}"
    print(f"the baseline against itself here and now: {share} of such comparisons would be called a change")


def _targets(options: Namespace) -> int:
    from runner.validate import targets

    machine, found = targets.read()
    if options.json:
        print(json.dumps({"machine": machine, "targets": [asdict(target) for target in found]}, indent=2))
    elif options.markdown:
        print(targets.page(), end="")
    else:
        for target in found:
            print(f"{target.required}: {target.standing}\n  means: {target.means}\n  today: {target.today}")
            print(f"  shown by: {target.shown_by or '-'}")
    return EXIT_OK


def _history(path: Path, as_json: bool) -> int:
    from runner.validate import record

    entries = record.read(path)
    changes = pairs.change_points([entry["cpu_s_per_unit"] for entry in entries])
    if as_json:
        print(json.dumps({"entries": entries, "changes": changes}, indent=2))
    elif not entries:
        print(f"no comparison yet in {visible(str(path))}")
    else:
        rows = [
            (entry["at"], entry["baseline"], 1000 * entry["cpu_s_per_unit"],
             "REGRESSION" if entry["regression"] else "", "another level from here on" if number in changes else "")
            for number, entry in enumerate(entries)
        ]  # fmt: skip
        print(table(("at", "baseline", "cpu ms a unit", "verdict", ""), rows))
        print("stored figures are advisory: only a comparison in pairs says that something became slower")
    return EXIT_OK


def _pairs(text: str) -> int:
    if not text.isdecimal() or int(text) < 20:
        raise ArgumentTypeError(f"{text!r} is not a count of pairs, it must be 20 or more")
    return int(text)
