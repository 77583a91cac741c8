"""`runner resume [RUN|SWEEP|latest]`: goes on with what was stopped, killed or failed. Thin: composes and executes.

The same config is composed again from the overrides and the folder that run.json holds; the core refuses when anything
that decides a result has changed since. Called by cli.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from runner import trial
from runner.commands.parser import Parser
from runner.config.overrides import quote
from runner.errors import EXIT_OK, UsageError
from runner.layout import DEFAULT_OUTPUTS
from runner.store import folder, listing, sweeps


def main(argv: list[str]) -> int:
    """Exit code of the run; 0 at once when there is nothing left to do."""
    parser = Parser(prog="runner resume", description="Go on with a run from its journal, or with a sweep.")
    parser.add_argument(
        "run", nargs="?", default="latest", help="folder, name or id of a run or a sweep (default: latest)"
    )
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--json", action="store_true", help="the run's summary as JSON on stdout at the end")
    options = parser.parse_args(argv)
    if (swept := sweeps.find(Path(options.outputs), options.run)) is not None:
        return _resume_sweep(swept)
    run = folder.find(Path(options.outputs), options.run)
    identity = folder.read_identity(run)
    if listing.state_of(run, identity) == "finished":
        if options.json:
            print(json.dumps(listing.row(run).to_json(), indent=2, ensure_ascii=False))
        else:
            print(f"nothing to resume: {run.root} is finished")
        return EXIT_OK
    _enter(identity.cwd)
    from runner import machine
    from runner.config.compose import compose
    from runner.run import execute

    here = machine.detect()
    config = replace(compose(list(identity.overrides), here), inputs=identity.inputs)
    return execute(config, here, resume=run, as_json=options.json)


def _resume_sweep(swept: sweeps.SweepFolder) -> int:
    """The same words once more, into the same folder: done jobs whose configuration has not changed are skipped."""
    identity = sweeps.read(swept)
    if identity.status == "finished":
        print(f"nothing to resume: {swept.root} is finished")
        return EXIT_OK
    _enter(identity.cwd)
    words = [word for word in identity.words if not word.startswith("hydra.sweep.dir=")]
    return trial.become([*words, f"hydra.sweep.dir={quote(str(swept.root))}"])


def _enter(cwd: str) -> None:
    try:
        os.chdir(cwd)
    except OSError as error:
        raise UsageError(
            f"the folder {cwd}, from which it was started, cannot be entered: {error.strerror}",
            "its relative paths and project profiles belong to it; restore it",
        ) from error
