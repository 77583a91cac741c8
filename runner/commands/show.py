"""`runner show [RUN|latest]`: one run in a page: state, counts, reasons, rate, the first failures. Thin, no logic.

Called by cli, which has not imported Hydra by then.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from runner.commands.parser import Parser
from runner.layout import DEFAULT_OUTPUTS, RunFolder
from runner.store import folder, listing, reasons
from runner.store.files import storage

SHOWN_FAILURES = 10


def first_failures(run: RunFolder) -> list[dict[str, Any]]:
    """The first lines of failures.jsonl; a torn last line of a crashed run is left out."""
    if not run.failures.is_file():
        return []
    with storage(f"cannot read {run.failures}"), run.failures.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in islice(lines, SHOWN_FAILURES) if line.endswith("\n")]


def page(row: listing.RunRow, why: dict[str, int], failures: list[dict[str, Any]]) -> str:
    """The page for people."""
    identity, summary = row.identity, row.summary
    lines = [row.folder, f"state        {row.state}" + (f": {row.problem}" if row.problem else "")]
    if identity:
        lines += [
            f"job          {identity.job}, model {identity.model}, profile {identity.profile}",
            f"started      {identity.started_at}, lives {identity.incarnation}, ended {identity.ended_at or '-'}",
            f"inputs       {', '.join(identity.inputs) or 'the paths of files.list'}",
        ]
    if summary:
        counts = ", ".join(f"{summary.get(key)} {key}" for key in ("ok", "failed", "skipped", "quarantined"))
        lines.append(f"documents    {counts} of {summary.get('inputs')}")
        lines.append(f"rate         {summary.get('docs_per_hour')} docs/h @ {summary.get('conditions')}")
    lines += [f"  {count} {reason}" for reason, count in why.items()]
    lines += [f"  {item.get('status')}: {item.get('source')}: {item.get('reason')}" for item in failures]
    if row.state in ("crashed", "interrupted", "failed"):
        lines.append(f"`runner resume {identity.run_id if identity else row.folder}` goes on from the journal")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Prints the page, or one JSON object with `--json`."""
    parser = Parser(prog="runner show", description="Show one run.")
    parser.add_argument("run", nargs="?", default="latest", help="folder, name or id of a run (default: latest)")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    run = folder.find(Path(options.outputs), options.run)
    row, why, failures = listing.row(run), reasons.count(run), first_failures(run)
    if options.json:
        print(json.dumps({**row.to_json(), "reasons": why, "failures": failures}, indent=2, ensure_ascii=False))
    else:
        print(page(row, why, failures))
    return 0
