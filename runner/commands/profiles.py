"""`runner profiles [NAME]`: what can be chosen with +profile=, where it comes from and whether it fits this machine.

Called by cli; reads yaml, imports no Hydra.
"""

import dataclasses
import difflib
import json

from runner.commands.parser import Parser
from runner.config.catalogue import ProfileRow, profiles
from runner.errors import UsageError
from runner.machine import choose_profile, detect


def main(argv: list[str]) -> int:
    """Prints the list, or one profile with its files."""
    parser = Parser(prog="runner profiles", description="List the profiles that +profile= accepts.")
    parser.add_argument("name", nargs="?", help="show this one alone, with the groups that it chooses")
    parser.add_argument("--config-dir", help="look for profiles here too")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    options = parser.parse_args(argv)
    machine = detect()
    rows = profiles(machine, options.config_dir)
    default, why = choose_profile(machine)
    if options.name is not None:
        rows = [_one(options.name, rows)]
    if options.json:
        listed = [{**dataclasses.asdict(row), "default": row.name == default} for row in rows]
        print(json.dumps(listed, indent=2, ensure_ascii=False))
        return 0
    for row in rows:
        mark = "*" if row.name == default else " "
        print(f"{mark} {row.name:14} {row.source:10} {_fit(row)}")
        print(f"    {row.about}")
        if options.name is not None:
            print(f"    {row.file}")
            for group, choice in row.groups.items():
                print(f"    {group:9} {choice}")
    if options.name is None:
        print(f"* runs when none is named: {why}")
    return 0


def _fit(row: ProfileRow) -> str:
    if row.problem:
        return f"cannot be used: {row.problem}"
    return f"is fitted: {'; '.join(row.unlike)}" if row.unlike else "fits this machine"


def _one(name: str, rows: list[ProfileRow]) -> ProfileRow:
    for row in rows:
        if row.name == name:
            return row
    names = [row.name for row in rows]
    near = difflib.get_close_matches(name, names, 1)
    lead = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"profile '{name}' is not known", f"{lead}choices: {', '.join(sorted(names))}")
