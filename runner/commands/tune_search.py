"""`runner tune search [overrides] [--over KEY=SPACE]`: the fastest and smallest values of a few keys. Called by tune.

Reads the words, composes the run once to know its model, leaves measuring to search, and writes a profile when asked.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from runner import layout, models, trial
from runner.commands.parser import count, positive
from runner.config import groups, starter
from runner.config.catalogue import chosen_groups, profiles
from runner.config.compose import compose
from runner.config.schema import RunnerConfig
from runner.config.sizes import RULE, format_size, parse_size
from runner.errors import EXIT_OK, UsageError
from runner.machine import Machine, detect
from runner.run import facts, settings
from runner.search import front, page, space
from runner.search.sampler import Sampler, optuna_of
from runner.search.study import Plan, Study, dump
from runner.store import own_profile
from runner.store.evidence import EvidenceFile
from runner.store.files import write_bytes

FOLDER = "search"
PROFILE_GROUPS = ("memory", "cores", "batching", "model", "tuning")
"""Groups whose keys a profile can carry."""
WARM_MACHINE_S = 20.0
"""Pause before a run on a laptop or a Mac, which get slower while they are hot."""


def add(parser: argparse.ArgumentParser) -> None:
    """The options of `runner tune search`."""
    more = parser.add_argument
    more("words", nargs="*", metavar="KEY=VALUE", help="overrides of the run that is varied")
    more("--over", action="append", default=[], metavar="KEY=SPACE", help="a,b,c or 1..8 or 16..2048* (doublings)")
    more("--space", default="standard", metavar="NAME", help="without --over: conf/search/NAME.yaml, or a file")
    more("--list", action="store_true", help="show the dimensions, measure nothing")
    more("--trials", type=count, default=20, metavar="N", help="points to try (20); more go on with the same study")
    more("--documents", type=count, default=16, metavar="N", help="of the input, in each run (16)")
    more("--leaders", type=count, default=4, metavar="N", help="best ones that are compared in rounds (4)")
    more("--rounds", type=count, default=3, metavar="N", help="runs of each leader, in turn (3)")
    more("--memory", metavar="SIZE", help="most memory of all processes together: 8GiB, 50%%")
    more(
        "--cool-down", type=positive, metavar="SECONDS", help="pause before each run (20 on a laptop or a Mac, else 0)"
    )
    more("--minutes", type=positive, default=math.inf, help="of this sitting; the next one goes on")
    more("--seed", type=int, default=1, help="of points and order (1)")
    more("--write", metavar="NAME", help="write the best as your own profile, when the study is done")
    more("--take", type=int, metavar="TRIAL", help="with --write: this one instead")
    more("--json", action="store_true", help="JSON on stdout")


def search(options: argparse.Namespace) -> int:
    """Goes on with the study of these words; prints what is known."""
    machine = detect()
    dimensions = [space.dimension_of(text) for text in options.over]
    dimensions = dimensions or space.read_space(_space_file(options.space), machine)
    if options.list:
        print("\n".join(f"{each.name:32} {each.words()}" for each in dimensions))
        return EXIT_OK
    optuna_of()
    unknown = [word for word in options.words if "=" not in word]
    if unknown:
        raise UsageError(f"'{unknown[0]}' is no override: it has no '='", "overrides are written KEY=VALUE")
    if options.write:
        own_profile.check_name(options.write, {row.name: row.file for row in profiles(machine)}.get)
    plan, config = _plan(options, dimensions, machine)
    file = EvidenceFile(Path(config.output.dir) / FOLDER / f"{plan.id}.jsonl")
    rest = options.cool_down or (WARM_MACHINE_S if machine.battery or machine.metal else 0.0)

    def check(words: Sequence[str]) -> None:
        compose([*plan.words, *words], machine)

    study = Study(plan, file, trial.run, check, now=time.monotonic, pause=lambda: time.sleep(rest))
    with trial.sigterm_raises():
        done = study.sit(Sampler(plan.space, plan.seed), time.monotonic() + 60 * options.minutes)
    found = study.found()
    write_bytes(file.path.with_suffix(".md"), page.markdown(plan, study.candidates, found).encode())
    best = options.take if options.take is not None else front.pick(found, plan.memory_bytes)
    if options.json:
        print(dump(plan, study, best))
    else:
        print("\n".join([*page.lines(plan, study.candidates, found), str(file.path.with_suffix(".md"))]))
        if not done:
            print("not done yet; the same command goes on")
        elif best is None:
            print("no candidate is within the memory limit")
        elif not options.write:
            print(f"--write NAME makes a profile of trial {best}, --write NAME --take N one of trial N")
    if done and options.write and best == 0:
        print("nothing beats the configuration as it is: no profile is written", file=sys.stderr)
    elif done and options.write:
        _write(options.write, best, plan, study, (config, machine, file.path))
    return EXIT_OK


def _space_file(name: str) -> Path:
    """A set by name, or any yaml file by its path."""
    if name.endswith((".yaml", ".yml")):
        return Path(name).expanduser()
    file = layout.conf_dir() / "search" / f"{name}.yaml"
    if not file.is_file():
        names = sorted(each.stem for each in file.parent.glob("*.yaml"))
        raise UsageError(f"there is no space '{name}'", f"choices: {', '.join(names)}, or the path of a file")
    return file


def _plan(
    options: argparse.Namespace, dimensions: Sequence[space.Dimension], machine: Machine
) -> tuple[Plan, RunnerConfig]:
    words = options.words
    if not any(word.startswith("job.max_documents=") for word in words):
        words = [*words, f"job.max_documents={options.documents}"]
    config = compose(words, machine)
    for each in dimensions:  # a misspelt key ends here; a value that does not go with the others is an outcome
        first = next(iter(each.values), each.low)
        try:
            compose([*words, *each.overrides(first)], machine)
        except UsageError as error:
            if any("no key" in problem.text for problem in error.problems):
                raise
    try:
        memory = parse_size(options.memory, machine.memory_bytes) if options.memory else None
    except ValueError as error:
        raise UsageError(f"--memory: {error}", RULE) from error
    model = models.resolve(settings.model_choice(config.model), models.cache_dir())
    plan = Plan(
        live=facts.live_facts(config, machine, model),
        words=tuple(word for word in words if not word.startswith("output.")),
        space=tuple(dimensions),
        trials=options.trials,
        leaders=options.leaders,
        rounds=options.rounds,
        memory_bytes=memory,
        seed=options.seed,
    )
    return plan, config


# ---- the profile ----


def _write(name: str, best: int | None, plan: Plan, study: Study, at: tuple[RunnerConfig, Machine, Path]) -> None:
    config, machine, file = at
    found = study.found()
    if best is None or best not in found:
        known = ", ".join(map(str, sorted(found)))
        raise UsageError(f"trial {best} has no figures to write a profile from", f"--take one of {known}")
    parent = config.profile.names[-1]
    row = next(row for row in profiles(machine) if row.name == parent)
    roots = [path for _, path in layout.profile_folders()]
    chosen = chosen_groups(Path(row.file), roots)
    words = [*plan.words, *space.overrides(plan.space, study.candidates[best].point)]
    pairs = [word.lstrip("+").partition("=")[::2] for word in words]
    chosen |= {key: value for key, value in pairs if key in PROFILE_GROUPS}
    read = {group: groups.read_group(group, chosen[group], roots) for group in PROFILE_GROUPS if group in chosen}
    changed: dict[str, dict[str, Any]] = {}
    left = []
    for key, value in pairs:
        group, _, rest = key.partition(".")
        if rest and group in read and rest in {each.key for each in read[group].values}:
            changed.setdefault(group, {})[rest] = yaml.safe_load(value)
        elif key not in (*PROFILE_GROUPS, "job.max_documents", "profile"):
            left.append(f"{key}={value}")
    speed, base = found[best], found[0]
    runs = len(study.candidates[best].rounds)
    evidence = [
        f"{_said(speed)}; as it is {_said(base)}: medians of {runs} rounds in turn.",
        page.conditions(plan),
        f"Evidence: {file}, trial {best}.",
    ]
    why = f"; study {plan.id}, trial {best}"
    about = (
        f"{machine.chip}, {machine.physical_cores} cores: trial {best} of runner tune search, {time.strftime('%F')}."
    )
    files = {group: starter.group_file(about, read[group], values, why) for group, values in changed.items()}
    picked = {group: name if group in changed else chosen[group] for group in read}
    own = {group: choice for group, choice in picked.items() if row.groups.get(group) != choice}
    files["profile"] = starter.profile_file(about, evidence, parent, own)
    root = layout.user_config_dir() / "profiles"
    written = own_profile.write_profile(root, name, files, lambda: _checked(name, machine))
    print("\n".join(str(path) for path in written), file=sys.stderr)
    if left:
        print(f"not in it, since a profile says nothing of them: {' '.join(left)}", file=sys.stderr)


def _said(figures: front.Figures) -> str:
    return f"{figures.docs_per_hour:.0f} docs/h, {format_size(figures.memory_bytes)}, {figures.quality:.1%} valid"


def _checked(name: str, machine: Machine) -> None:
    compose([f"+profile={name}"], machine)
