"""What earlier runs and calibrations say of speed, newest first. Reads summaries only; damaged ones say nothing.

Runs lie in the outputs folder, calibrations in the user's state folder, each with the setting it was measured with:
when machine, versions, model or batch change, it simply no longer matches. Called by the plan command.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from runner.predict.pace import Measured, read
from runner.store.files import storage, write_json

LOOKED_AT: Final = 200
"""Newest runs whose summary is read."""

KEPT: Final = 50
"""Calibrations, one a setting."""

_VERSION: Final = 1


def measured(outputs: Path, calibrations: Path) -> list[Measured]:
    """Runs first, newest first, then calibrations, newest first."""
    found = sorted((outputs / "runs").glob("*/*/summary.json"), key=lambda path: path.parts[-3:-1], reverse=True)
    runs = (read(path.parent.name, summary) for path in found[:LOOKED_AT] if (summary := _object(path)) is not None)
    return [run for run in (*runs, *_calibrated(calibrations)) if run is not None]


def keep(calibrations: Path, when: str, summary: Mapping[str, Any]) -> None:
    """Adds a calibration; an older one of the same setting goes."""
    known = _object(calibrations) or {}
    setting = summary["pace"]["setting"]
    older = [entry for entry in known.get("entries", []) if entry["summary"]["pace"]["setting"] != setting]
    entries = [{"when": when, "summary": dict(summary)}, *older]
    with storage(f"cannot create {calibrations.parent}"):
        calibrations.parent.mkdir(parents=True, exist_ok=True)
    write_json(calibrations, {"version": _VERSION, "entries": entries[:KEPT]})


def _calibrated(path: Path) -> Iterator[Measured | None]:
    known = _object(path)
    if known is not None and known.get("version") == _VERSION:
        for entry in known["entries"]:
            yield read(f"calibration of {entry['when']}", entry["summary"])


def _object(path: Path) -> dict[str, Any] | None:
    """None for a file that is not there or no JSON object: a run that was killed has none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
