"""`runner tuning apply|status|revert|recover|install`: the machine's settings by hand. Thin: SystemScope does the work.

`apply` takes the overrides of a run (tuning=linux_performance) and keeps what it set until `revert`. Nothing here asks
for a password: what needs a privilege is said, and `install` prints what gives it. Called by cli.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from runner import layout, log
from runner.commands.parser import Parser
from runner.config.compose import compose
from runner.errors import EXIT_OK, EXIT_TUNING, UsageError
from runner.machine import detect
from runner.tuning import install, script
from runner.tuning.guarded import Guard
from runner.tuning.journal import TuningJournal
from runner.tuning.outcome import FULFILLED, Outcome
from runner.tuning.script import known_scripts
from runner.tuning.system import SystemScope, default_journal

VERBS = ("apply", "status", "revert", "recover", "install")


def main(argv: list[str]) -> int:
    """0 when everything wanted is so, 5 when something could not be set or put back."""
    parser = Parser(
        prog="runner tuning",
        usage="runner tuning [--json] {apply [--dry-run] | install --print} [tuning=NAME] [key=value ...], "
        "or runner tuning [--json] {status [--restore-commands] | revert [--dry-run] | recover}",
        description="Set, show and put back settings of this machine.",
        allow_abbrev=False,
    )
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")
    parser.add_argument("--restore-commands", action="store_true", help="shell lines that put everything back")
    parser.add_argument("--print", action="store_true", help="show what a person may install for system steps")
    options, words = parser.parse_known_args(argv)
    log.configure("warning")
    if words and options.verb not in ("apply", "install"):
        raise UsageError(f"runner tuning {options.verb} takes no '{words[0]}'", "runner tuning --help")
    if options.verb == "install" and not options.print:
        raise UsageError("runner tuning install changes nothing by itself", "runner tuning install --print shows it")
    run = {"apply": _apply, "status": _status, "revert": _revert, "recover": _recover, "install": _install}
    return run[options.verb](options, words)


def _scope(run: str = "") -> SystemScope:
    return SystemScope(run or f"by-hand-{layout.new_id()}", detect().boot_id, system=sys.platform)


def _steps(words: list[str]) -> dict[str, str]:
    config = compose(words, detect())
    if not config.tuning.steps:
        raise UsageError(
            f"tuning={config.tuning.name} has no system steps", "tuning=linux_performance, or a group of your own"
        )
    return config.tuning.steps


def _apply(options: Any, words: list[str]) -> int:
    steps = _steps(words)
    if options.dry_run:
        rows = [_would(step, wanted) for step, wanted in steps.items()]
        if options.json:
            print(json.dumps(rows, indent=2))
        else:
            for row in rows:
                print(f"{row['step']}: now {row['now'] or '-'}, wanted {row['wanted']}: {row['would']}")
                if row["restore"]:
                    print(f"    back by hand: {row['restore']}")
        return EXIT_OK
    run, boot_id = f"by-hand-{layout.new_id()}", detect().boot_id
    guard = Guard(run, boot_id, sys.platform, default_journal(), layout.tuning_lock_file(), None)
    scope = SystemScope(run, boot_id, system=sys.platform, before_first=guard.start)
    try:
        outcomes = scope.apply(steps, keep=True)
    except BaseException:
        scope.close()
        raise
    finally:
        guard.dismiss()
    code = _show(outcomes, options.json)
    if not options.json and any(outcome.state == "applied" for outcome in outcomes):
        print("kept until: runner tuning revert", file=sys.stderr)
    return code


def _would(step: str, wanted: str) -> dict[str, str]:
    """One row of a dry run: asks the script, writes nothing."""
    name = step.partition(":")[0]
    known = known_scripts()
    if name not in known:
        raise UsageError(
            f"tuning.steps names '{step}', which no script in tuning/ is", f"known: {', '.join(sorted(known))}"
        )
    row = {"step": step, "scope": "system", "now": "", "wanted": wanted, "would": "", "restore": ""}
    if known[name][1] != sys.platform:
        return {**row, "would": f"unsupported: it is for {known[name][1]}"}
    report = script.call(step, "status")
    row |= {"step": report.step, "now": report.value}
    if report.state != "ok":
        return {**row, "would": f"{report.state}: {report.detail}"}
    if any(script.call(step, "verify", value).state == "ok" for value in wanted.split("|")):
        return {**row, "would": "nothing, it is so already"}
    return {**row, "would": "be written", "restore": install.restore_command(report.step, report.value)}


def _status(options: Any, _words: list[str]) -> int:
    open_intents = TuningJournal(default_journal()).open_intents()
    if options.restore_commands:
        for intent in reversed(open_intents):
            print(install.restore_command(intent.step, intent.old))
        return EXIT_OK
    ours = {intent.step: intent for intent in open_intents}
    rows: list[dict[str, Any]] = []
    here = [name for name, (_, system) in known_scripts().items() if system == sys.platform]
    for step in dict.fromkeys([*ours, *(name for name in here if not install.has_items(name))]):
        report = script.call(step, "status")
        row: dict[str, Any] = {"step": step, "state": report.state, "now": report.value, "detail": report.detail}
        if step in ours:
            row |= {"old": ours[step].old, "set_by": ours[step].run, "kept": ours[step].kept}
        rows.append(row)
    holders = [str(holder) for holder in _scope().holders()]
    if options.json:
        print(json.dumps({"steps": rows, "holders": holders, "journal": str(default_journal())}, indent=2))
        return EXIT_OK
    for row in rows:
        now = row["now"] or f"{row['state']}: {row['detail']}"
        mark = ""
        if "old" in row:
            mark = f"   set by {row['set_by']}{', kept' if row['kept'] else ''}; before: {row['old']}"
        print(f"{row['step']:<20} {now}{mark}")
    print(f"in use by: {', '.join(holders) or 'no run'}")
    return EXIT_OK


def _revert(options: Any, _words: list[str]) -> int:
    if options.dry_run:
        open_intents = TuningJournal(default_journal()).open_intents()
        rows = [{"step": intent.step, "back_to": intent.old} for intent in reversed(open_intents)]
        print(json.dumps(rows, indent=2) if options.json else "\n".join(f"{r['step']}: {r['back_to']}" for r in rows))
        return EXIT_OK
    return _show(_scope().revert_everything(), options.json)


def _recover(options: Any, _words: list[str]) -> int:
    return _show(_scope().recover(), options.json)


def _install(options: Any, words: list[str]) -> int:
    page = install.page(_steps(words), words, sys.platform)
    print(json.dumps(page, indent=2) if options.json else install.text(page))
    return EXIT_OK


def _show(outcomes: list[Outcome], as_json: bool) -> int:
    if as_json:
        rows: list[Mapping[str, Any]] = [{"step": o.step, **json.loads(o.to_json())} for o in outcomes]
        print(json.dumps(rows, indent=2))
    else:
        for outcome in outcomes:
            detail = f" ({outcome.detail})" if outcome.detail else ""
            print(f"{outcome.step}: {outcome.state} {outcome.value}{detail}")
        if not outcomes:
            print("nothing to do")
    return EXIT_OK if all(outcome.state in FULFILLED for outcome in outcomes) else EXIT_TUNING
