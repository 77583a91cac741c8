"""`runner resume [RUN|latest]`: goes on with a run that was stopped, killed or failed. Thin: composes and executes.

The same config is composed again from the overrides and the folder that run.json holds; the core refuses when anything
that decides a result has changed since. Called by cli.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from runner.commands.parser import Parser
from runner.errors import EXIT_OK, UsageError
from runner.layout import DEFAULT_OUTPUTS
from runner.store import folder, listing


def main(argv: list[str]) -> int:
    """Exit code of the run; 0 at once when there is nothing left to do."""
    parser = Parser(prog="runner resume", description="Go on with a run from its journal.")
    parser.add_argument("run", nargs="?", default="latest", help="folder, name or id of a run (default: latest)")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--json", action="store_true", help="the run's summary as JSON on stdout at the end")
    options = parser.parse_args(argv)
    run = folder.find(Path(options.outputs), options.run)
    identity = folder.read_identity(run)
    if listing.state_of(run, identity) == "finished":
        if options.json:
            print(json.dumps(listing.row(run).to_json(), indent=2, ensure_ascii=False))
        else:
            print(f"nothing to resume: {run.root} is finished")
        return EXIT_OK
    try:
        os.chdir(identity.cwd)
    except OSError as error:
        raise UsageError(
            f"the folder {identity.cwd}, from which the run was started, cannot be entered: {error.strerror}",
            "its relative paths and project profiles belong to it; restore it",
        ) from error
    from runner import machine
    from runner.config.compose import compose
    from runner.run import execute

    here = machine.detect()
    config = replace(compose(list(identity.overrides), here), inputs=identity.inputs)
    return execute(config, here, resume=run, as_json=options.json)
