"""`runner quarantine ls|release SCHEDULE`: documents that its nights have stopped trying, and letting them try again.
Thin.

Called by cli.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from runner import layout
from runner.commands.parser import Parser
from runner.errors import EXIT_OK, UsageError
from runner.nights import documents, schedule
from runner.nights.documents import Failed


def main(argv: list[str]) -> int:
    """A list, or how many were released."""
    parser = Parser(prog="runner quarantine", description="Documents that the nights of a schedule have given up.")
    parser.add_argument("verb", choices=["ls", "release"])
    parser.add_argument("name", help="name of the schedule")
    parser.add_argument("sources", nargs="*", help="release: these documents, as `ls` shows them")
    parser.add_argument("--all", action="store_true", help="release: all of them; ls: also those that wait for a try")
    parser.add_argument("--reason", metavar="TEXT", help="only those whose reason has this text")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    options = parser.parse_args(argv)
    schedule.load(options.name)
    path = layout.schedule_state_dir(options.name) / "documents.json"
    known = documents.read(path)
    chosen = {
        source: entry
        for source, entry in known.items()
        if options.reason is None or options.reason in entry.reason
        if entry.state == "quarantined" or (options.verb == "ls" and options.all)
    }
    if options.verb == "ls":
        return _ls(chosen, options.json)
    if bool(options.sources) == options.all:
        raise UsageError("runner quarantine release takes documents or --all", "`runner quarantine ls` shows them")
    if wrong := [source for source in options.sources if source not in chosen]:
        raise UsageError(f"'{wrong[0]}' is not in quarantine", f"`runner quarantine ls {options.name}` shows what is")
    released = options.sources or list(chosen)
    documents.write(path, documents.release(known, released))
    print(json.dumps(released) if options.json else f"{len(released)} released: the next night tries them")
    return EXIT_OK


def _ls(chosen: dict[str, Failed], as_json: bool) -> int:
    if as_json:
        print(json.dumps({source: asdict(entry) for source, entry in chosen.items()}, indent=2))
        return EXIT_OK
    for source, entry in chosen.items():
        when = "quarantined" if entry.state == "quarantined" else f"next in night {entry.next_night}"
        print(f"{source}: {when}, {entry.tries} tries since night {entry.since_night}: {entry.reason}")
    if not chosen:
        print("none")
    return EXIT_OK
