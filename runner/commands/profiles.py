"""`runner profiles [NAME | show NAME | init [NAME]]`: what can be chosen with +profile=, what it would set here and
why, and a profile of one's own for this machine.

Called by cli; the list reads yaml and imports no Hydra, the others compose.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import shutil
import textwrap
import time
from collections.abc import Mapping
from typing import Any

from runner import layout
from runner.commands.parser import Parser
from runner.config import groups, starter
from runner.config.catalogue import ProfileRow, profiles
from runner.config.schema import RunnerConfig
from runner.config.sizes import format_size
from runner.errors import EXIT_OK, Problem, RunnerError, UsageError
from runner.machine import Machine, choose_profile, detect
from runner.store import own_profile
from runner.tuning import script

SHOWN = ("machine", "memory", "cores", "batching", "tuning", "model")
STARTED = ("machine", "memory", "cores")
"""Groups whose numbers come from the machine's facts."""


def main(argv: list[str]) -> int:
    """Prints the list, one profile with its files, all of its values, or the files of a new one."""
    parser = Parser(
        prog="runner profiles",
        description="List the profiles that +profile= accepts; show NAME explains each value, init writes one.",
    )
    parser.add_argument("words", nargs="*", metavar="NAME | show NAME | init [NAME]", help="one alone; all its values")
    parser.add_argument("--config-dir", help="look for profiles here too")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    options = parser.parse_with_words(argv)
    machine = detect()
    rows = profiles(machine, options.config_dir)
    verb, *names = options.words or [""]
    if verb in ("show", "init"):
        if len(names) > 1 or (verb == "show" and not names):
            raise UsageError(f"runner profiles {verb} takes one name, got {len(names)}", "runner profiles lists them")
        if verb == "show":
            return _show(_one(names[0], rows), machine, options)
        return _init(names[0] if names else "mine", rows, machine, options)
    if names:
        raise UsageError(f"runner profiles takes one name, got {len(names) + 1}", f"runner profiles show {names[0]}")
    return _list([_one(verb, rows)] if verb else rows, bool(verb), machine, options.json)


def _list(rows: list[ProfileRow], alone: bool, machine: Machine, as_json: bool) -> int:
    default, why = choose_profile(machine)
    if as_json:
        listed = [{**dataclasses.asdict(row), "default": row.name == default} for row in rows]
        print(json.dumps(listed, indent=2, ensure_ascii=False))
        return EXIT_OK
    for row in rows:
        mark = "*" if row.name == default else " "
        print(f"{mark} {row.name:14} {row.source:10} {_fit(row)}")
        print(f"    {row.about}")
        if alone:
            print(f"    {row.file}")
            for group, choice in row.groups.items():
                print(f"    {group:9} {choice}")
            print(f"    runner profiles show {row.name} explains every value")
    if not alone:
        print(f"* runs when none is named: {why}")
    return EXIT_OK


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


# ---- show ----


def _composed(name: str, config_dir: str | None, machine: Machine) -> RunnerConfig:
    from runner.config.compose import compose  # Hydra: the list does without

    more = ["--config-dir", config_dir] if config_dir else []
    return compose([f"+profile={name}", *more], machine)


def _roots(config_dir: str | None) -> list[Any]:
    return [path for _, path in layout.profile_folders(config_dir)]


def _show(row: ProfileRow, machine: Machine, options: Any) -> int:
    if row.problem:
        raise UsageError(f"profile {row.name} ({row.file}) cannot be used: {row.problem}", "correct the file")
    problems: tuple[Problem, ...] = ()
    became: Mapping[str, str] = groups.facts(machine)
    fitted: dict[str, str] = {}
    try:
        config = _composed(row.name, options.config_dir, machine)
        became = groups.here(config, machine)
        fitted = {each.key: f"{each.was} -> {each.now}: {each.why}" for each in config.profile.fitted}
    except UsageError as error:  # it cannot run here: its values are shown all the same
        problems = tuple(error.problems)
    shown: list[dict[str, Any]] = []
    for group in SHOWN:
        choice = row.groups.get(group, "auto")
        found = groups.read_group(group, choice, _roots(options.config_dir))
        values = [_value(group, each, became, fitted) for each in found.values]
        shown.append({"group": group, "choice": choice, "file": str(found.file), "values": values})
    if options.json:
        refused = [{"problem": each.text, "cure": each.cure} for each in problems]
        print(json.dumps({**dataclasses.asdict(row), "groups": shown, "refused": refused}, indent=2))
        return EXIT_OK
    width = max(60, min(120, shutil.get_terminal_size((100, 24)).columns))
    print(f"{row.name} ({row.source}): {_fit(row)}")
    print(textwrap.fill(row.about, width))
    print(row.file)
    for problem in problems:
        print(textwrap.fill(f"refused here: {problem.text}; {problem.cure}", width, subsequent_indent="  "))
    for part in shown:
        print(f"\n{part['group']}: {part['choice']}    {part['file']}")
        for value in part["values"]:
            _print_value(value, width)
    return EXIT_OK


def _value(group: str, value: groups.Value, became: Mapping[str, str], fitted: Mapping[str, str]) -> dict[str, str]:
    """`here`: what it comes to on this machine, empty where that is what is written."""
    key = f"{group}.{value.key}"
    here = became.get(key, "")
    if group == "tuning" and value.key.startswith("steps."):
        here = _step(value.key.removeprefix("steps."))
    same = here.replace(" ", "") == value.text.replace(" ", "")
    said = {"key": value.key, "value": value.text, "here": "" if same else here, "about": value.about}
    return {**said, "fitted": fitted.get(key, "")}


def _step(step: str) -> str:
    """What the step's script says now; it only reads."""
    try:
        report = script.call(step, "status")
    except RunnerError as error:
        return error.problem
    return f"now {report.value}" if report.state == "ok" else f"{report.state}: {report.detail}"


def _print_value(value: Mapping[str, str], width: int) -> None:
    left = f"  {value['key']}: {value['value']}"
    print(f"{left}  ->  {value['here']}" if value["here"] else left)
    for text in (value["fitted"] and f"fitted: {value['fitted']}", value["about"]):
        if text:
            print(textwrap.fill(text, width, initial_indent="      ", subsequent_indent="      "))


# ---- init ----


def _init(name: str, rows: list[ProfileRow], machine: Machine, options: Any) -> int:
    parent, why = choose_profile(machine)
    own_profile.check_name(name, {row.name: row.file for row in rows}.get)
    config = _composed(parent, options.config_dir, machine)
    row = _one(parent, rows)
    found = {group: groups.read_group(group, row.groups[group], _roots(options.config_dir)) for group in STARTED}
    day, size = time.strftime("%Y-%m-%d"), format_size(machine.memory_bytes)
    about = f"{machine.chip}, {machine.physical_cores} cores, {size}: from {parent} by runner profiles init, {day}."
    values = {
        "machine": starter.machine_values(name, machine),
        "memory": starter.memory_values(config.memory),
        "cores": starter.cores_values(config.cores),
    }
    files = {group: starter.group_file(about, found[group], values[group]) for group in STARTED}
    files["profile"] = starter.profile_file(about, [why + "."], parent, dict.fromkeys(STARTED, name))
    root = layout.user_config_dir() / "profiles"

    def check() -> None:
        fitted = _composed(name, options.config_dir, machine).profile.fitted
        assert not fitted, f"a profile made for this machine is fitted to it: {fitted}"

    written = own_profile.write_profile(root, name, files, check)
    if options.json:
        print(json.dumps({"name": name, "from": parent, "files": [str(path) for path in written]}, indent=2))
        return EXIT_OK
    print("\n".join(str(path) for path in written))
    print(f"composed and checked; runner +profile={name} uses it, runner profiles show {name} explains it")
    return EXIT_OK
