"""`runner plan --calibrate`: a short real run over some of the corpus' own files, for its pace alone.

The files are linked into a temporary folder, in which the run folder lies too; nothing is left of it but the pace, in
the user's state folder. Called by plan.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from runner import trial
from runner.config.overrides import quote
from runner.errors import EXIT_BUSY, BusyError, RunFailed

LONGEST_S: Final = 75.0
"""Of the run, loading of the model included; then it is asked to stop."""

_SHOWN_LINES: Final = 5


def calibrate(words: Sequence[str], files: Sequence[str]) -> dict[str, Any]:
    """The summary of a run with these overrides over these files. RunFailed when it measured nothing, BusyError when
    another run computes."""
    with tempfile.TemporaryDirectory(prefix="runner-calibrate-") as temporary:
        place = Path(temporary)
        links = place / "input"
        links.mkdir()
        for number, file in enumerate(files):
            (links / f"{number:04}-{Path(file).name}").symlink_to(file)
        overrides = [
            *(word for word in words if not word.startswith(("input=", "output."))),
            f"input={quote(str(links))}",
            f"output.dir={quote(str(place))}",
            "ingest.follow_links=true",
            "ingest.include=[]",
            "ingest.exclude=[]",
            "ingest.hidden=true",
            "job.max_documents=null",
        ]
        console = place / "console.log"
        print(f"calibrating with {len(files)} files, at most {LONGEST_S:.0f} s", file=sys.stderr, flush=True)
        done = trial.run(overrides, place / "run", console, LONGEST_S)
        if done.exit_code == EXIT_BUSY:
            raise BusyError("the calibration found the device in use by another run", "wait for it to end")
        if done.summary is None or not done.summary.get("pace", {}).get("windows"):
            said = console.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
            raise RunFailed(
                f"the calibration measured nothing (exit {done.exit_code}); its last lines:\n    "
                + "\n    ".join(said),
                "the same words without `plan --calibrate` show more",
            )
        return done.summary
