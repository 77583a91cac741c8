"""`runner plan [overrides]`: what that run would do here, without doing it. Exit 2 when it cannot run.

Composes and checks like a run, looks at the model without fetching one from the hub, and has the core read the inputs
(or a sample) and count. Makes no run folder. Called by cli.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runner import layout, log, models
from runner.commands.parser import Parser
from runner.commands.plan import page
from runner.commands.plan.calibrate import calibrate
from runner.commands.plan.outlook import Outlook, outlook
from runner.config.compose import compose
from runner.config.given import path_list, refuse_stdin, shown
from runner.config.schema import RunnerConfig
from runner.config.sizes import format_size
from runner.errors import EXIT_OK, EXIT_USAGE, Problem, UsageError, render
from runner.machine import Machine, detect
from runner.models.sources import pulled
from runner.predict import estimate
from runner.run import census, history, settings
from runner.run.door import core_errors, make_core
from runner.run.fitting import fitted_line, footprint_of, too_small, workers_that_fit
from runner.run.inputs import check_list
from runner.run.signals import Stopped, StopRequest
from runner.store.folder import now_text
from runner.tuning.process import problems as environment_problems

READ_S: Final = 30.0
"""Seconds of reading, by a rough rule, above which a sample is read instead of everything."""

NEAR_SIMILARITY: Final = 0.85
NEAR_BYTES: Final = 256 << 20
"""Most memory for the signatures of near duplicates: of about 400,000 documents."""

LIVE_EVERY_S: Final = 0.5
PLAIN_EVERY_S: Final = 10.0
WIDEST: Final = 140


@dataclass(frozen=True, slots=True)
class _Found:
    """What reading has come to."""

    corpus: estimate.Corpus
    seconds: float
    outlook: Outlook


def main(argv: list[str]) -> int:
    """0 when the run can start here, 2 with all reasons when it cannot, 130 when it was stopped while it read."""
    options, overrides = _parser().parse_known_args(argv)
    log.configure("warning")
    machine = detect()
    config = compose(overrides, machine)
    found: _Found | None = None
    refuse_stdin(config, "a plan leaves to the run")
    if (listed := path_list(config.ingest)) is not None:
        check_list(listed)
    with StopRequest() as stop:
        try:
            with stop.at_once():
                data, model, problems = _plan(config, machine)
            if model is not None and not problems:
                found = _find(config, machine, model, options, overrides, stop)
        except Stopped:
            print("stopped; nothing was made", file=sys.stderr)
            return stop.exit_code
    _print(config, data, found, problems, options.json)
    if problems:
        print(render(UsageError(problems=problems)), file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


def _parser() -> Parser:
    parser = Parser(
        prog="runner plan",
        usage="runner plan [--json] [--full | --sample N] [--calibrate] [+profile=NAME] [input=PATH] [key=value ...]",
        description="What a run with these overrides would do here, without doing it.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--calibrate", action="store_true", help="measure this model here: a real run of a minute")
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--full", action="store_true", help="read everything, however long it takes")
    much.add_argument("--sample", type=_files, metavar="N", help="read N files (default: what takes half a minute)")
    return parser


def _files(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of files, it must be at least 1")
    return number


def _plan(config: RunnerConfig, machine: Machine) -> tuple[dict[str, Any], models.ModelFolder | None, list[Problem]]:
    problems = environment_problems(config.tuning.environment)
    data: dict[str, Any] = {
        "profile": dataclasses.asdict(config.profile),
        "machine": {"os": machine.os, "arch": machine.arch, "chip": machine.chip, "memory_limit": machine.memory_limit},
        "memory": dataclasses.asdict(config.memory),
        "cores": dataclasses.asdict(config.cores),
        "batching": dataclasses.asdict(config.batching),
        "tuning": dataclasses.asdict(config.tuning),
        "job": {
            "name": config.job.name,
            "max_tokens": config.job.max_tokens,
            "constrained": config.job.grammar is not None,
            "longest_answer": config.job.longest_answer,
            "notes": list(config.job.notes),
        },
        "inputs": list(config.inputs),
        "model": None,
        "corpus": None,
        "time": None,
    }
    try:
        model = _model(config)
    except UsageError as error:
        return data, None, [*problems, *error.problems]
    fitting = workers_that_fit(config, model)
    data["model"] = {
        "name": model.name,
        "folder": str(model.path),
        "bytes": model.bytes,
        "kv_bytes_per_row": model.kv_bytes_per_token * settings.max_model_len(config, model),
        "worker_bytes": footprint_of(config, model, 1).needs(1, settings.max_model_len(config, model)),
        "workers_that_fit": fitting,
        "fitted": fitted_line(config, model, fitting).strip() if config.model.engine != "scripted" else "",
    }
    if fitting == 0 and config.model.engine != "scripted":
        problems.append(Problem(*too_small(config, model)))
    return data, model, problems


def _model(config: RunnerConfig) -> models.ModelFolder:
    """The model at hand; nothing is fetched from the hub for a plan."""
    choice = settings.model_choice(config.model)
    if choice.source == "hub":
        pulled(choice, lambda _text: None, fetch=False)
    return models.resolve(choice, models.cache_dir())


def _find(
    config: RunnerConfig,
    machine: Machine,
    model: models.ModelFolder,
    options: argparse.Namespace,
    overrides: list[str],
    stop: StopRequest,
) -> _Found:
    """Reads, and asks earlier runs for their pace. Stopped comes through."""
    with stop.at_once():
        prompt = models.render_prompt(
            model, config.job.system_prompt, config.model.enable_thinking, config.job.answer_prefix
        )
    started = time.monotonic()
    counted = _count(config, model, prompt, options, stop)
    seconds = time.monotonic() - started
    corpus = estimate.corpus(counted)
    if options.calibrate:
        with stop.at_once():
            if not counted["slice"]:
                raise UsageError("there is nothing to calibrate with: no document is to be sent", "give another input")
            history.keep(layout.calibrations_file(), now_text(), calibrate(overrides, counted["slice"]))
    return _Found(corpus, seconds, outlook(config, machine, model, prompt, corpus))


def _count(
    config: RunnerConfig,
    model: models.ModelFolder,
    prompt: models.Prompt,
    options: argparse.Namespace,
    stop: StopRequest,
) -> dict[str, Any]:
    outputs = Path(config.output.dir)
    wanted = settings.core_settings(
        config, model, prompt, run_id="plan", run_dir=str(outputs / "plan"), index_path=str(layout.index_file(outputs))
    )
    wanted["ingest"] = settings.ingest_settings(config)
    with core_errors():
        core = make_core(json.dumps(wanted))
    reading = {
        "full": options.full, "sample": options.sample, "read_s": READ_S, "near": True,
        "near_similarity": NEAR_SIMILARITY, "near_bytes": min(NEAR_BYTES, config.memory.rust_bytes // 4),
    }  # fmt: skip
    teller = _Teller()
    try:
        found = census.count(config, core, reading, stop, teller.tell)
    finally:
        teller.close()
    if found is None:
        raise Stopped
    return found


class _Teller:
    """Says on stderr how far the reading is: one line that is drawn anew on a terminal, else a line now and then;
    nothing for what is quick."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._every_s = LIVE_EVERY_S if self._live else PLAIN_EVERY_S
        self._last = 0.0
        self._drawn = 0

    def tell(self, counters: Mapping[str, int], seconds: float) -> None:
        """Called each turn."""
        if seconds - self._last < self._every_s:
            return
        self._last = seconds
        text = (
            f"reading: {counters['files_seen']:,} files found, {format_size(counters['bytes_read'])} and "
            f"{counters['inputs']:,} documents read, {seconds:.0f} s"
        )
        self._draw(text)

    def close(self) -> None:
        """Takes the line away again."""
        if self._drawn:
            self._draw("", end="\r")

    def _draw(self, text: str, end: str = "") -> None:
        if self._live:
            print(f"\r{text:<{self._drawn}}", end=end, file=sys.stderr, flush=True)
            self._drawn = len(text)
        else:
            print(text, file=sys.stderr, flush=True)


def _folder(inputs: Sequence[str]) -> str:
    """The folder that all inputs lie in."""
    folders = [path if path.is_dir() else path.parent for path in map(Path, inputs)]
    return os.path.commonpath(folders or [Path.cwd()])  # of a list: what its relative paths begin at


def _print(
    config: RunnerConfig,
    data: dict[str, Any],
    found: _Found | None,
    problems: list[Problem],
    as_json: bool,
) -> None:
    if as_json:
        if found is not None:
            data["corpus"] = {**found.corpus.to_json(), "seconds": round(found.seconds, 3)}
            data["time"] = found.outlook.to_json()
        listed = [dataclasses.asdict(problem) for problem in problems]
        print(json.dumps({**data, "problems": listed}, indent=2, ensure_ascii=False))
        return
    width = min(WIDEST, shutil.get_terminal_size().columns)
    lines = page.profile_lines(config, width)
    if data["model"] is not None:
        model = data["model"]
        lines += page.row("model", f"{model['name']}, {format_size(model['bytes'])} on disk, {model['folder']}", width)
        if model["fitted"]:
            lines += page.row("", model["fitted"], width)
    lines += page.row("input", shown(config), width)
    if found is not None:
        lines += page.corpus_lines(found.corpus, _folder(config.inputs), found.seconds, width)
        lines += page.time_lines(found.outlook, "`runner plan --calibrate ...` measures one in a minute", width)
    lines += page.row("output", config.output.run_dir or config.output.dir, width)
    print("\n".join(lines))
