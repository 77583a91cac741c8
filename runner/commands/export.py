"""`runner export RUN --to parquet|csv|jsonl|hf`: the results of a run as a table for other tools.

Thin. Called by cli.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from runner.commands.parser import Parser
from runner.errors import EXIT_OK
from runner.index import exporting
from runner.layout import DEFAULT_OUTPUTS
from runner.store import folder

SUFFIX: Final = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl", "hf": ""}


def main(argv: list[str]) -> int:
    """Prints the path that was written."""
    parser = Parser(prog="runner export", description="Write a run's results as a table.")
    parser.add_argument("run", nargs="?", default="latest", help="folder, name or id of a run (default: latest)")
    parser.add_argument("--to", choices=list(SUFFIX), required=True, help="hf: a folder that `datasets` loads")
    parser.add_argument("--out", type=Path, help="file or folder to write (RUN with the form's suffix, here)")
    parser.add_argument("--status", choices=("ok", "failed", "skipped", "quarantined"), help="only such documents")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--json", action="store_true", help="path and number of rows as JSON")
    options = parser.parse_args(argv)
    run = folder.find(Path(options.outputs), options.run)
    identity = folder.read_identity(run)
    out = options.out or Path(f"{run.root.name}{SUFFIX[options.to] or '_dataset'}")
    rows = exporting.rows(run, identity.run_id, options.status)
    count = exporting.write(options.to, rows, out, f"{identity.job} with {identity.model}")
    print(json.dumps({"path": str(out), "rows": count}) if options.json else f"{count} rows -> {out}")
    return EXIT_OK
