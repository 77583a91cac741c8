"""`tuning.keep`: which of the settings that a profile adds are set at all.

Pure but for reading the evidence. Leaves BLAS, cores and memory alone: they are the run's own choices, not steps.
Called by run once the model is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.config.schema import RunnerConfig
from runner.store import evidence


def proven_only(config: RunnerConfig, live: Mapping[str, Any]) -> tuple[RunnerConfig, list[str]]:
    """The configuration without what `tuning.keep` leaves out, and a line for each that is."""
    tuning = config.tuning
    if tuning.keep == "always" or not (tuning.environment or tuning.steps):
        return config, []
    if tuning.keep == "never":
        names = ", ".join([*tuning.environment, *tuning.steps])
        return replace(config, tuning=replace(tuning, environment={}, steps={})), [
            f"  left out (tuning.keep=never): {names}"
        ]
    found = evidence.proven(Path(config.output.dir) / evidence.FOLDER, live)
    lines = []

    def kept(group: str, wanted: Mapping[str, str]) -> dict[str, str]:
        out = {}
        for name, value in wanted.items():
            setting = (f"tuning.{group}.{name}", str(value))
            if setting in found.settings:
                out[name] = value
                continue
            why = found.expired.get(setting)
            reason = f"its evidence expired: {why}" if why else "no evidence that it helps here"
            lines.append(f"  left out (tuning.keep=proven): {name}={value}: {reason}; runner tune prove measures it")
        return out

    kept_tuning = replace(
        tuning, environment=kept("environment", tuning.environment), steps=kept("steps", tuning.steps)
    )
    return replace(config, tuning=kept_tuning), lines
