"""`runner retry [RUN] --failed [--reason TEXT]`: the documents of a run that failed, once more. Thin: forgets and
executes.

A new run with the words of the old one: what was finished is reused, what failed is outstanding again. Called by cli.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner import layout
from runner.commands.parser import Parser
from runner.errors import EXIT_OK, UsageError
from runner.layout import DEFAULT_OUTPUTS, RunFolder
from runner.store import folder, listing
from runner.store.files import storage
from runner.store.forget import forget


def main(argv: list[str]) -> int:
    """Exit code of the new run; 0 at once when nothing failed."""
    parser = Parser(prog="runner retry", description="Run the failed documents of a run again.")
    parser.add_argument("run", nargs="?", default="latest", help="folder, name or id of a run (default: latest)")
    parser.add_argument("--failed", action="store_true", help="failed and quarantined documents (what else there is)")
    parser.add_argument("--reason", metavar="TEXT", help="only those whose reason has this text")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--dry-run", action="store_true", help="list them and run nothing")
    parser.add_argument("--json", action="store_true", help="the run's summary as JSON on stdout at the end")
    options = parser.parse_args(argv)
    if not options.failed:
        raise UsageError("runner retry says nothing of which documents", "runner retry --failed, or with --reason TEXT")
    run = folder.find(Path(options.outputs), options.run)
    identity = folder.read_identity(run)
    if listing.state_of(run, identity) != "finished":
        raise UsageError(
            f"{run.root} is {listing.state_of(run, identity)}", f"`runner resume {run.root}` goes on first"
        )
    chosen = [line for line in _failures(run) if options.reason is None or options.reason in line["reason"]]
    if options.dry_run or not chosen:
        for line in chosen:
            print(json.dumps(line) if options.json else f"{line['source']}: {line['reason']}")
        print(f"{len(chosen)} documents{'' if chosen else ': nothing to retry'}")
        return EXIT_OK
    try:
        os.chdir(identity.cwd)
    except OSError as error:
        raise UsageError(
            f"the folder {identity.cwd}, from which the run was started, cannot be entered: {error.strerror}",
            "its relative paths and project profiles belong to it; restore it",
        ) from error
    return _again(identity, chosen, options.json)


def _failures(run: RunFolder) -> Iterator[dict[str, Any]]:
    if run.failures.is_file():
        with storage(f"cannot read {run.failures}"), run.failures.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _again(identity: folder.RunIdentity, chosen: list[dict[str, Any]], as_json: bool) -> int:
    from runner import machine
    from runner.config.compose import compose
    from runner.run import execute

    words = [word for word in identity.overrides if not word.lstrip("+").startswith("output.run_dir=")]
    here = machine.detect()
    config = compose(words, here)
    if identity.inputs:
        config = replace(config, inputs=identity.inputs)
    forget(layout.index_file(Path(config.output.dir)), chosen)
    return execute(config, here, as_json=as_json)
