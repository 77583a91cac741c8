"""`runner tune prove [STEP...] [overrides]`: what each tuning step is worth here; `search` is next door. Called by cli.

Reads the words, composes the run once to know its model, and leaves measuring to prove.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import asdict
from pathlib import Path

from runner import layout, models, trial
from runner.commands import tune_search
from runner.commands.parser import Parser, count, positive, share
from runner.compare import statistics
from runner.config.compose import compose
from runner.errors import EXIT_OK, UsageError
from runner.machine import Machine, detect
from runner.prove import page, steps
from runner.prove.session import LEAST_AA, Plan, Session
from runner.run import facts, settings
from runner.store.evidence import FOLDER, EvidenceFile
from runner.store.files import write_bytes


def main(argv: list[str]) -> int:
    """--json prints one object."""
    parser = Parser(prog="runner tune", description="Measure what settings are worth on this machine.")
    parts = parser.add_subparsers(dest="part", required=True, metavar="part", parser_class=Parser)
    prove = parts.add_parser("prove", help="paired runs of the real job with and without each step")
    prove.add_argument("words", nargs="*", metavar="STEP | KEY=VALUE", help="steps of the set; overrides of the run")
    prove.add_argument(
        "--step", action="append", default=[], metavar="NAME='A|B'", help="one more step: two lists of overrides"
    )
    prove.add_argument("--candidates", default="standard", metavar="NAME", help="set of steps: conf/prove/NAME.yaml")
    prove.add_argument("--list", action="store_true", help="show the steps of the set, measure nothing")
    prove.add_argument("--documents", type=count, default=16, metavar="N", help="of the input, in each run (16)")
    prove.add_argument("--minutes", type=positive, default=math.inf, help="of this sitting; the next one goes on")
    prove.add_argument("--measure", choices=["wall", "cpu"], default="wall", help="time that decides (wall)")
    prove.add_argument("--min-effect", type=share, default=0.02, metavar="SHARE", help="that matters (0.02)")
    prove.add_argument("--aa-pairs", type=count, default=8, metavar="N", help="baseline against itself (8)")
    prove.add_argument("--seed", type=int, default=1, help="of the order (1)")
    prove.add_argument(
        "--keep-disturbed", action="store_true", help="measure no pair twice, on a machine that is never quiet"
    )
    prove.add_argument("--json", action="store_true", help="JSON on stdout")
    tune_search.add(parts.add_parser("search", help="which values of a few keys are fastest and smallest"))
    options = parser.parse_with_words(argv)
    return tune_search.search(options) if options.part == "search" else _prove(options)


def _prove(options: argparse.Namespace) -> int:
    machine = detect()
    candidates = steps.read_candidates(_candidates_file(options.candidates), machine)
    if options.list:
        return _list(candidates, options.json)
    if options.aa_pairs < LEAST_AA:
        raise UsageError(
            f"--aa-pairs is {options.aa_pairs}, fewer than {LEAST_AA} pairs say nothing about the machine",
            f"--aa-pairs {LEAST_AA}",
        )
    named = [word for word in options.words if "=" not in word]
    chosen = steps.choose(candidates, named, [steps.step_of(text) for text in options.step])
    if len(chosen) > statistics.MOST_STEPS:
        raise UsageError(f"{len(chosen)} steps, a plan has at most {statistics.MOST_STEPS}", "prove fewer at a time")
    overrides = [word for word in options.words if "=" in word]
    plan, outputs = _plan(options, chosen, overrides, machine)
    file = EvidenceFile(outputs / FOLDER / f"{plan.id}.jsonl")
    with trial.sigterm_raises():
        session = Session(plan, file, trial.run, now=time.monotonic)
        found = session.sit(
            started_at=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            boot_id=machine.boot_id,
            load=os.getloadavg()[0],
            until=time.monotonic() + 60 * options.minutes,
        )
    plot = file.path.with_suffix(".svg")
    write_bytes(plot, page.svg(plan, session.known, found).encode())
    write_bytes(file.path.with_suffix(".md"), page.markdown(plan, session.known, found, plot.name).encode())
    write_bytes(file.path.with_suffix(".html"), page.page(plan, session.known, found).encode())
    if options.json:
        verdicts = [asdict(verdict) for verdict in found.values()]
        baseline = page.baseline_line(plan, session.known)
        print(json.dumps({"plan": plan.id, "file": str(file.path), "baseline": baseline, "verdicts": verdicts}))
    else:
        print("\n".join([*page.lines(plan, session.known, found), str(file.path.with_suffix(".html"))]))
    return EXIT_OK


def _plan(
    options: argparse.Namespace, chosen: tuple[steps.Step, ...], overrides: list[str], machine: Machine
) -> tuple[Plan, Path]:
    """The run is composed with each arm, so that a misspelt override ends here and not in the middle of the night."""
    if not any(word.startswith("job.max_documents=") for word in overrides):
        overrides = [*overrides, f"job.max_documents={options.documents}"]
    config = compose(overrides, machine)
    for step in chosen:
        for arm in (step.a, step.b):
            try:
                compose([*overrides, *arm], machine)
            except UsageError as error:
                raise UsageError(f"step {step.name}: {error.problem}", error.cure) from error
    model = models.resolve(settings.model_choice(config.model), models.cache_dir())
    plan = Plan(
        live=facts.live_facts(config, machine, model),
        words=tuple(word for word in overrides if not word.startswith("output.")),
        steps=chosen,
        measure=options.measure,
        min_effect=options.min_effect,
        aa_pairs=options.aa_pairs,
        seed=options.seed,
        keep_disturbed=options.keep_disturbed,
    )
    return plan, Path(config.output.dir)


def _candidates_file(name: str) -> Path:
    """A set by name, or any yaml file by its path."""
    if name.endswith((".yaml", ".yml")):
        return Path(name).expanduser()
    file = layout.conf_dir() / "prove" / f"{name}.yaml"
    if not file.is_file():
        names = sorted(each.stem for each in file.parent.glob("*.yaml"))
        raise UsageError(f"there is no set of steps '{name}'", f"choices: {', '.join(names)}, or the path of a file")
    return file


def _list(candidates: steps.Candidates, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"steps": [asdict(s) for s in candidates.steps], "left_out": candidates.left_out}, indent=2))
        return EXIT_OK
    for step in candidates.steps:
        print(f"{step.name:16} {step.about}")
        print(f"{'':16} A: {' '.join(step.a) or 'as it is'}")
        print(f"{'':16} B: {' '.join(step.b) or 'as it is'}")
    for name, why in candidates.left_out.items():
        print(f"{name:16} {why}")
    return EXIT_OK
