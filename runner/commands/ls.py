"""`runner ls`: the runs of an outputs folder, newest first. Reads run.json and summary.json only; thin, no logic.

Called by cli, which has not imported Hydra by then.
"""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from pathlib import Path

from runner.commands.parser import Parser
from runner.layout import DEFAULT_OUTPUTS
from runner.store import listing


def _cell(summary: dict[str, object] | None, key: str) -> str:
    return "-" if summary is None else str(summary.get(key, "-"))


def table(rows: list[listing.RunRow]) -> str:
    """Columns for people; the folder comes last, since it is what gets copied."""
    head = ("started", "state", "job", "model", "ok", "failed", "skipped", "quarantined", "folder")
    lines: list[tuple[str, ...]] = [head]
    for row in rows:
        identity = row.identity
        lines.append(
            (
                identity.started_at[:19] if identity else "-",
                row.state,
                identity.job if identity else "-",
                identity.model if identity else "-",
                *(_cell(row.summary, key) for key in ("ok", "failed", "skipped", "quarantined")),
                row.folder,
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a count, it must be 0 or more")
    return int(text)


def main(argv: list[str]) -> int:
    """Prints the table, or a JSON list with `--json`."""
    parser = Parser(prog="runner ls", description="List the runs of an outputs folder, newest first.")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--limit", type=_limit, default=20, help="at most this many, 0 = all (default: 20)")
    parser.add_argument("--json", action="store_true", help="a JSON list on stdout")
    options = parser.parse_args(argv)
    rows = listing.runs(Path(options.outputs), options.limit or None)
    if options.json:
        print(json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False))
    elif rows:
        print(table(rows))
    else:
        print(f"no runs in {options.outputs}")
    return 0
