"""`runner schedule add|ls|show|next|run|rm|print|pause|resume`: batches that run by themselves. Thin.

Everything that can be wrong is found at `add`: the configuration is composed and checked there, as for a run. The
work is done by nights. Called by cli, and with `run` by the system's own timer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from runner import layout
from runner.commands.parser import Parser
from runner.errors import EXIT_OK, RunnerError, UsageError, render
from runner.nights import entry as entries
from runner.nights import gates, history, schedule, timers
from runner.nights.cron import Cron, here
from runner.nights.schedule import Schedule

_VERBS: Final = ("add", "ls", "show", "next", "run", "rm", "print", "pause", "resume")


def main(argv: list[str]) -> int:
    """Exit code of the verb; of `run`, that of the night."""
    verb = argv[0] if argv else ""
    if verb in ("-h", "--help", ""):
        print(
            f"usage: runner schedule {{{','.join(_VERBS)}}} ...; each takes --help\n\nBatches that run by themselves."
        )
        return EXIT_OK
    if verb not in _VERBS:
        raise UsageError(f"runner schedule knows no '{verb}'", f"one of: {', '.join(_VERBS)}")
    run: dict[str, Any] = {
        "add": _add, "ls": _ls, "show": _show, "next": _next, "run": _run, "rm": _rm, "print": _print,
        "pause": _pause, "resume": _resume,
    }  # fmt: skip
    return int(run[verb](argv[1:]))


def _named(verb: str, description: str, argv: list[str], **flags: str) -> Any:
    parser = Parser(prog=f"runner schedule {verb}", description=description)
    parser.add_argument("name", help="name of the schedule")
    for flag, text in flags.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", action="store_true", help=text)
    return parser.parse_args(argv)


# ---- add ----


def _add_parser(verb: str) -> Parser:
    parser = Parser(
        prog=f"runner schedule {verb}", allow_abbrev=False,
        usage=f"runner schedule {verb} NAME --cron '30 2 * * 1-5' [options] [+profile=NAME] [key=value ...]",
        description="Schedule a batch: the words of a run, checked now, and one entry in the system's timer.",
    )  # fmt: skip
    parser.add_argument("name", help="name of the schedule; one that is there is replaced")
    parser.add_argument("overrides", nargs="*", help="what runs: the words behind `runner`")
    parser.add_argument("--cron", required=True, help="minute hour day month weekday, or @daily")
    parser.add_argument("--backend", choices=["auto", *timers.TIMERS, "none"], default="auto", help="who starts it")
    parser.add_argument("--overlap", choices=["skip", "wait", "replace"], default="skip", help="when one still runs")
    parser.add_argument("--no-catch-up", action="store_true", help="do not run late for a time that was missed")
    parser.add_argument("--budget", help="stop taking on work after, for example, 6h; the next night goes on")
    parser.add_argument("--timeout", default="20h", help="a night that runs longer has failed (20h; 'none')")
    parser.add_argument("--quiet", action="append", default=[], metavar="HH:MM-HH:MM", help="hours without runs")
    parser.add_argument("--require-ac", action="store_true", help="only on mains power")
    parser.add_argument("--require-cool", action="store_true", help="not under thermal pressure")
    parser.add_argument("--let-sleep", action="store_true", help="do not keep the machine awake")
    parser.add_argument("--retry", type=int, default=3, metavar="N", help="later tries of what failed (3)")
    parser.add_argument("--deleted", choices=["drop", "keep"], default="drop", help="results of deleted documents")
    parser.add_argument("--slower", type=int, default=50, metavar="PERCENT", help="tell when so much slower; 0 = never")
    parser.add_argument("--disk-low", default="2GiB", metavar="SIZE", help="tell when less is free (2GiB)")
    parser.add_argument("--notify", action="append", default=[], metavar="SINK", help="command=... webhook=URL "
                        "ping=URL mail=ADDRESS apprise=URL; may be repeated")  # fmt: skip
    parser.add_argument("--env", action="append", default=[], metavar="NAME[=VALUE]", help="for the environment file")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _from_words(verb: str, argv: list[str]) -> tuple[Any, Schedule, timers.Choice]:
    """The schedule that the words describe, with everything checked; nothing is written."""
    options = _add_parser(verb).parse_intermixed_args(argv)
    schedule.check_name(options.name)
    cron = Cron.read(options.cron)
    made = Schedule(
        name=options.name, cron=cron.text, overrides=tuple(options.overrides), cwd=str(Path.cwd()),
        created=datetime.now(here()).isoformat(timespec="seconds"), overlap=options.overlap,
        catch_up=not options.no_catch_up, budget=options.budget,
        timeout=None if options.timeout == "none" else options.timeout, quiet=tuple(options.quiet),
        require_ac=options.require_ac, require_cool=options.require_cool, keep_awake=not options.let_sleep,
        retry=options.retry, deleted=options.deleted, slower_percent=options.slower, disk_low=options.disk_low,
        notify=tuple(options.notify),
    )  # fmt: skip
    schedule.check(made)
    _check_run(made)
    choice = timers.choose(options.backend)
    return options, replace(made, backend=choice.timer.name if choice.timer else "none"), choice


def _check_run(made: Schedule) -> None:
    """The configuration as a run would compose it, here and now."""
    from runner.config.compose import compose
    from runner.config.given import refuse_stdin
    from runner.machine import detect

    for word in made.overrides:
        if word.lstrip("+").startswith("output.run_dir="):
            raise UsageError(f"a schedule takes no '{word}': each night has a folder of its own", "leave it out")
    config = compose(list(made.overrides), detect())
    refuse_stdin(config, "nobody gives at night")
    (moment,) = Cron.read(made.cron).after(time.time(), 1)
    if (until := gates.quiet_until(made.quiet, moment, here())) is not None:
        raise UsageError(
            f"--cron '{made.cron}' is due in quiet hours, which end at {datetime.fromtimestamp(until, here()):%H:%M}",
            "choose another time, or other quiet hours",
        )


def _add(argv: list[str]) -> int:
    options, made, choice = _from_words("add", argv)
    replaced = layout.schedule_file(made.name).is_file()
    if replaced:
        _uninstall(made.name, but=made.backend)
    path = schedule.save(made)
    variables = entries.kept_environment(os.environ, options.env)
    environment = schedule.write_environment(made.name, variables)
    entry = entries.make(made)
    notes = choice.timer.install(entry) if choice.timer else []
    _history(made.name).append("schedule.added", time.time(), replaced=replaced)
    if options.json:
        where = list(choice.timer.shown(entry)) if choice.timer else []
        print(json.dumps({**_row(made), "file": str(path), "entry": where, "notes": notes}, indent=2))
        return EXIT_OK
    print(f"{made.name}: {'replaced' if replaced else 'added'}, {entry.cron.explain()}")
    print(f"  schedule     {path}\n  environment  {environment} ({', '.join(variables) or 'empty'})")
    print(f"  backend      {made.backend}: {choice.reason}")
    print(f"  next         {_clock(entry.cron.after(time.time(), 1)[0])}")
    for note in notes:
        print(f"  note         {note}")
    return EXIT_OK


def _history(name: str) -> history.History:
    return history.History(layout.schedule_state_dir(name) / "history.jsonl")


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, here()).strftime("%a %Y-%m-%d %H:%M %Z")


def _uninstall(name: str, but: str = "") -> list[str]:
    """Takes the entry out of every timer that has one: the file may have named another since."""
    removed: list[str] = []
    for make in timers.TIMERS.values():
        timer = make()
        if timer.name != but and not (timer.name == "crontab" and timer.missing()) and timer.remove(name):
            removed.append(timer.name)
    return removed


# ---- looking ----


def _row(made: Schedule) -> dict[str, Any]:
    events = _history(made.name).events()
    ended = history.ended_nights(events)
    timer = timers.of(made.backend)
    entry = timer.state(entries.make(made)) if timer else "none"
    upcoming = [] if made.paused else Cron.read(made.cron).after(time.time(), 1)
    return {
        **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(made).items()},
        "outputs": str(made.outputs), "entry": entry, "next": upcoming[0] if upcoming else None,
        "nights": history.next_night(events) - 1, "last": dict(ended[-1]) if ended else None,
        "running": history.open_night(events) is not None,
    }  # fmt: skip


def _ls(argv: list[str]) -> int:
    parser = Parser(prog="runner schedule ls", description="All schedules of this user.")
    parser.add_argument("--json", action="store_true", help="a JSON list on stdout")
    options = parser.parse_args(argv)
    rows: list[dict[str, Any]] = []
    broken: list[RunnerError] = []
    for name in schedule.names():
        try:
            rows.append(_row(schedule.load(name)))
        except RunnerError as error:  # one bad file hides no other
            broken.append(error)
    if options.json:
        print(json.dumps(rows, indent=2))
    elif rows:
        lines = [("name", "cron", "backend", "next", "last night")]
        for row in rows:
            state = "paused" if row["paused"] else _clock(row["next"])
            entry = row["backend"] + (
                f" ({row['entry']})" if row["entry"] in ("absent", "differs") and not row["paused"] else ""
            )
            last = row["last"]["outcome"].replace("_", " ") if row["last"] else "-"
            lines.append((row["name"], row["cron"], entry, state, "running" if row["running"] else last))
        widths = [max(len(line[column]) for line in lines) for column in range(5)]
        for line in lines:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    else:
        print("no schedules; `runner schedule add NAME --cron '30 2 * * *' ...` makes one")
    for found in broken:
        print(render(found), file=sys.stderr)
    return broken[0].exit_code if broken else EXIT_OK


def _show(argv: list[str]) -> int:
    options = _named("show", "One schedule and its last nights.", argv, json="one JSON object on stdout")
    made = schedule.load(options.name)
    row, events = _row(made), _history(made.name).events()
    told = [event for event in events if event["event"] in ("night.ended", "night.skipped", "night.died", "alert")]
    if options.json:
        print(json.dumps({**row, "history": told[-20:]}, indent=2))
        return EXIT_OK
    print(schedule.text_of(made), end="")
    print(f"# name {made.name}, {Cron.read(made.cron).explain()}; entry: {row['entry']}")
    print(f"# environment {layout.schedule_environment(made.name)}, nights {layout.schedule_state_dir(made.name)}")
    for event in told[-10:]:
        print(f"{_clock(event['at'])}  {_event_text(event)}")
    return EXIT_OK


def _event_text(event: history.Event) -> str:
    match event["event"]:
        case "night.ended":
            return str(event["line"])
        case "night.skipped":
            return f"not run: {event['reason']}"
        case "night.died":
            return f"night {event['night']} died" + (", the machine was restarted" if event["restarted"] else "")
        case _:
            return f"told: {event['kind']} {event['state']}"


def _next(argv: list[str]) -> int:
    parser = Parser(prog="runner schedule next", description="The next times of a schedule, or of an expression.")
    parser.add_argument("name", help="name of a schedule, or an expression in quotes")
    parser.add_argument("--count", type=int, default=5, help="how many (5)")
    parser.add_argument("--json", action="store_true", help="a JSON list on stdout")
    options = parser.parse_args(argv)
    text = options.name
    cron = Cron.read(text if " " in text or text.startswith("@") else schedule.load(text).cron)
    times = cron.after(time.time(), max(1, min(options.count, 1000)))
    print(json.dumps(times) if options.json else "\n".join(map(_clock, times)))
    return EXIT_OK


# ---- run and change ----


def _run(argv: list[str]) -> int:
    options = _named(
        "run", "One night, now: what the system's timer calls.", argv,
        missed="only when a time was missed (what the crontab calls when the machine starts)",
        now="whatever quiet hours, power, heat and missed times say",
    )  # fmt: skip
    from runner.machine import detect
    from runner.nights.night import Night
    from runner.nights.runs import World
    from runner.tuning.journal import TuningJournal
    from runner.tuning.system import default_journal

    made = schedule.load(options.name)
    environment = {**os.environ, **schedule.read_environment(made.name)}
    os.environ.update(environment)
    if not Path(made.cwd).is_dir():
        raise UsageError(
            f"the folder {made.cwd}, which the schedule belongs to, is not there",
            "restore it, or add the schedule again",
        )

    def left() -> list[str]:
        found = TuningJournal(default_journal()).open_intents()
        return [f"{intent.step} (was {intent.old})" for intent in found if not intent.kept]

    night = Night(made, World(boot_id=detect().boot_id, environment=environment, tuning_left=left))
    return night.run(missed_only=options.missed, now=options.now)


def _rm(argv: list[str]) -> int:
    options = _named("rm", "Take a schedule away: its file, its environment file, its entry.", argv)
    schedule.check_name(options.name)
    known = layout.schedule_file(options.name).is_file()
    removed = _uninstall(options.name)
    if not known and not removed:
        schedule.load(options.name)
    schedule.remove(options.name)
    where = f"; entry removed from {', '.join(removed)}" if removed else ""
    print(f"{options.name}: removed{where}; results stay, and {layout.schedule_state_dir(options.name)}")
    return EXIT_OK


def _print(argv: list[str]) -> int:
    """What stands in the timer for a schedule, or would after `add`."""
    if len(argv) == 1 and not argv[0].startswith("-"):
        made = schedule.load(argv[0])
        timer = timers.of(made.backend)
    else:
        _, made, choice = _from_words("print", argv)
        timer = choice.timer
        print(f"# {layout.schedule_file(made.name)}\n{schedule.text_of(made)}")
        print(f"# backend {made.backend}: {choice.reason}")
    entry = entries.make(made)
    if timer is None:
        print(f"# nothing is installed; call: {' '.join(entry.command)}")
        return EXIT_OK
    for place, text in timer.shown(entry).items():
        print(f"# {place}\n{text}", end="" if text.endswith("\n") else "\n")
    return EXIT_OK


def _pause(argv: list[str]) -> int:
    options = _named("pause", "Take the entry away until `resume`; `run` by hand still works.", argv)
    made = schedule.load(options.name)
    schedule.save(replace(made, paused=True))
    _uninstall(made.name)
    print(f"{made.name}: paused; `runner schedule resume {made.name}` goes on")
    return EXIT_OK


def _resume(argv: list[str]) -> int:
    options = _named("resume", "Put the entry in place: after `pause`, or a change of the file.", argv)
    made = replace(schedule.load(options.name), paused=False)
    schedule.save(made)
    _uninstall(made.name, but=made.backend)
    timer = timers.of(made.backend)
    notes = timer.install(entries.make(made)) if timer else []
    _history(made.name).append("schedule.resumed", time.time())
    print(f"{made.name}: next {_clock(Cron.read(made.cron).after(time.time(), 1)[0])}")
    for note in notes:
        print(f"  note {note}")
    return EXIT_OK
