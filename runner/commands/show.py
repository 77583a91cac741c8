"""`runner show [RUN|latest] [DOCUMENT]`: one run in a page: state, counts, reasons, rate, the first failures; or what
became of one of its documents. Thin, no logic.

Called by cli, which has not imported Hydra by then.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from itertools import islice
from pathlib import Path
from typing import Any

from runner import timeline
from runner.commands.parser import Parser
from runner.display import visible
from runner.index import documents
from runner.layout import DEFAULT_OUTPUTS, RunFolder
from runner.store import folder, listing, reasons
from runner.store.files import storage

SHOWN_FAILURES = 10
VIEW_KEYS = "q leave this view; the run goes on"


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
    lines = [visible(line, 0) for line in lines]
    if row.state in ("crashed", "interrupted", "failed"):
        lines.append(f"`runner resume {identity.run_id if identity else row.folder}` goes on from the journal")
    return "\n".join(lines)


def live(run: RunFolder) -> None:
    """The view of a run that another process drives, until it is over or somebody leaves."""
    from runner.progress import Heading, choose
    from runner.progress.follow import follow

    row = listing.row(run)
    if row.identity is None or row.state != "running":
        print(f"{run.root}: {row.state}; there is nothing to watch", file=sys.stderr)
        return
    identity = row.identity
    progress = choose(Heading(identity.job, identity.model, identity.profile, identity.run_id), VIEW_KEYS)
    try:
        follow(run, progress, lambda: listing.row(run).state != "running", time.sleep)
    finally:
        progress.close()


def main(argv: list[str]) -> int:
    """Prints the page, or one JSON object with `--json`."""
    parser = Parser(prog="runner show", description="Show one run.")
    parser.add_argument("run", nargs="?", default="latest", help="folder, name or id of a run (default: latest)")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("document", nargs="?", help="its source, the end of its source, or the start of its input_id")
    parser.add_argument("--output", action="store_true", help="the document's answer alone, byte for byte")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--live", action="store_true", help="watch it while it runs; q leaves the view alone")
    parser.add_argument("--trace", action="store_true", help="make trace.json anew, for ui.perfetto.dev")
    options = parser.parse_args(argv)
    run = folder.find(Path(options.outputs), options.run)
    if options.document is not None:
        return _document(Path(options.outputs), run, options)
    if options.live:
        live(run)
    if options.trace:
        with storage(f"cannot write {run.trace}"):
            about = timeline.write(run)
        print(json.dumps({"trace": str(run.trace), **about}) if options.json else f"{run.trace}: {about['sampling']}")
        return 0
    row, why, failures = listing.row(run), reasons.count(run), first_failures(run)
    if options.json:
        print(json.dumps({**row.to_json(), "reasons": why, "failures": failures}, indent=2, ensure_ascii=False))
    else:
        print(page(row, why, failures))
    return 0


def _document(outputs: Path, run: RunFolder, options: Namespace) -> int:
    line = documents.find(outputs, run, options.document)
    if options.output:
        sys.stdout.write(line["output"] or "")
    elif options.json:
        print(json.dumps(line, indent=2))
    else:
        print("\n".join(_document_lines(line)))
    return 0


def _document_lines(line: dict[str, Any]) -> list[str]:
    timings, coverage = line.get("timings") or {}, line.get("coverage") or {}
    reason = f": {visible(line['reason'], 0)}" if line["reason"] else ""
    lines = [
        visible(line["source"], 0),
        f"status       {line['status']}{reason}",
        f"input_id     {line['input_id']}, document {line['doc_id'] or '-'}",
        f"attempts     {line['attempts']}",
        f"text         {coverage.get('covered_bytes')} of {coverage.get('text_bytes')} bytes reached the model",
        "time         " + ", ".join(f"{name.removesuffix('_ms')} {ms} ms" for name, ms in timings.items()),
    ]
    more = ("duplicate_of", "reused_from", "reader", "unread")
    lines += [f"{name:12} {visible(str(line[name]))}" for name in more if line.get(name)]
    for number, part in enumerate(line["parts"]):
        tokens = f"{part['tokens_in']} tokens in, {part['tokens_out']} out, ended by {part['finish_reason']}"
        lines.append(f"part {number:<7} bytes {part['span']}, {tokens}")
    return [*lines, "", visible(line["output"] or "(no answer)", 0, lines=True)]
