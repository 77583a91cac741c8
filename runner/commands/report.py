"""`runner report [RUN|SWEEP]`: draws report.html anew from what the folder holds. Thin, no logic.

Called by cli, which has not imported Hydra by then.
"""

from __future__ import annotations

import json
from pathlib import Path

from runner import report
from runner.commands.parser import Parser
from runner.layout import DEFAULT_OUTPUTS
from runner.store import folder, listing, sweeps


def main(argv: list[str]) -> int:
    """Prints where the page is, or one JSON object with `--json`."""
    parser = Parser(prog="runner report", description="Draw the report of a run or a sweep anew.")
    parser.add_argument(
        "run", nargs="?", default="latest", help="folder, name or id of a run, or a sweep's folder (default: latest)"
    )
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    outputs = Path(options.outputs)
    sweep = sweeps.find(outputs, options.run)
    if sweep is not None:
        page = report.write_sweep(sweep.root)
    else:
        run = folder.find(outputs, options.run)
        page = report.write(run, listing.state_of(run, folder.read_identity(run)))
    print(json.dumps({"report": str(page)}) if options.json else page)
    return 0
