"""A sweep as rows: one a job with its varying keys and its figures, the Pareto front of them, the best one as a
profile.

Pure: takes what the sweep's folder holds, already read. Called by the report and by sweep_page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

SAME_MEMORY: Final = 0.01
GROUPS: Final = ("machine", "memory", "cores", "model", "batching", "tuning")
"""What a profile chooses: the machine's side. Job and documents stay on the command line."""


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One job. `settings`: its words by key. Figures are None when it has none: it failed, or was not started."""

    number: int
    settings: Mapping[str, str]
    status: str
    exit_code: int | None
    seconds: float | None
    folder: str
    error: str
    docs_per_hour: float | None = None
    tokens_per_s: float | None = None
    peak_bytes: float | None = None
    ok: int | None = None
    bad: int | None = None
    conditions: str = ""
    profile: str = ""

    @property
    def valid_share(self) -> float | None:
        """Valid answers of those that were asked for: what a sweep knows of quality."""
        asked = (self.ok or 0) + (self.bad or 0)
        return (self.ok or 0) / asked if asked else None

    @property
    def counts(self) -> bool:
        """Whether it can be compared: it has answered something."""
        return bool(self.ok) and self.docs_per_hour is not None


def settings_of(words: Sequence[str]) -> dict[str, str]:
    """Override words by key; without the plus of `+key`."""
    pairs = (word.lstrip("+").partition("=") for word in words)
    return {key: value for key, equals, value in pairs if equals}


def row_of(
    job: Mapping[str, Any], status: Mapping[str, Any] | None, summary: Mapping[str, Any], error: str, folder: str
) -> SweepRow:
    """A row from preflight.json's job, status.json and summary.json of its last try."""
    words = [str(word) for word in job.get("overrides") or ()]
    base: dict[str, Any] = {
        "number": int(job["number"]),
        "settings": settings_of(words),
        "status": str(status["status"]) if status else "not started",
        "exit_code": int(status["exit_code"]) if status else None,
        "seconds": float(status["seconds"]) if status else None,
        "folder": folder,
        "error": error,
    }
    if not summary:
        return SweepRow(**base)
    working = float(summary.get("working_seconds") or 0)
    peaks = summary.get("peak_rss_bytes") or {}
    ok = int(summary.get("ok") or 0)
    return SweepRow(
        **base,
        docs_per_hour=float(summary.get("docs_per_hour") or 0) if ok else None,
        tokens_per_s=float(summary.get("generated_tokens") or 0) / working if working else None,
        peak_bytes=float(sum(peaks.values())) if peaks else None,
        ok=ok,
        bad=int(summary.get("failed") or 0) + int(summary.get("quarantined") or 0),
        conditions=str(summary.get("conditions") or ""),
        profile=str(summary.get("profile") or ""),
    )


def varying(rows: Sequence[SweepRow]) -> list[str]:
    """Keys whose value is not the same in all jobs, in the order of the command line."""
    keys = dict.fromkeys(key for row in rows for key in row.settings)
    return [key for key in keys if len({row.settings.get(key) for row in rows}) > 1]


def front(rows: Sequence[SweepRow]) -> list[SweepRow]:
    """Rows that no other beats: none has as many documents an hour, as little memory and as large a share of valid
    answers, and more of one. Fastest first."""
    able = [row for row in rows if row.counts]
    kept = [row for row in able if not any(_beats(other, row) for other in able)]
    return sorted(kept, key=lambda row: -(row.docs_per_hour or 0))


def _beats(one: SweepRow, other: SweepRow) -> bool:
    """As good in all three and better in one. Memory that differs by less than SAME_MEMORY is the same: no two runs of
    one setting have the same peak."""
    rate, share = (
        (one.docs_per_hour or 0) - (other.docs_per_hour or 0),
        (one.valid_share or 0) - (other.valid_share or 0),
    )
    less = 1 - (one.peak_bytes or 0) / other.peak_bytes if other.peak_bytes else 0.0
    return rate >= 0 and share >= 0 and less >= -SAME_MEMORY and (rate > 0 or share > 0 or less > SAME_MEMORY)


def best(rows: Sequence[SweepRow]) -> SweepRow | None:
    """Most valid answers an hour among the jobs that ended well. Rates count valid answers alone."""
    able = [row for row in rows if row.counts and row.status == "completed"]
    return max(able, key=lambda row: (row.docs_per_hour or 0, -row.number), default=None)


def profile_files(row: SweepRow, config: Mapping[str, Any], about: str) -> tuple[dict[str, str], list[str]]:
    """(Files of a profile with this row's settings, by their path in a folder of profiles; the words that stay on the
    command line).

    A profile only chooses groups: where the row set values, its whole group as `config` (the composed tree) has it
    becomes a group file `best.yaml`.
    """
    import yaml

    files: dict[str, str] = {}
    chosen: dict[str, str] = {}
    rest: list[str] = []
    for key, value in row.settings.items():
        group = key.partition(".")[0]
        if key == "profile" or key.startswith("output."):
            continue
        if group not in GROUPS or key == "model.script" or not isinstance(config.get(group), Mapping):
            rest.append(f"{key}={value}")
        elif key == group:
            chosen.setdefault(group, value)
        elif chosen.get(group) != "best":
            chosen[group] = "best"
            files[f"{group}/best.yaml"] = f"# As it was in: {_line(about)}\n" + yaml.safe_dump(
                dict(config[group]), sort_keys=False, allow_unicode=True
            )
    # Hydra wants what is overridden at the end of the list.
    defaults: list[Any] = [*(f"/profile/{name}" for name in row.profile.split("+") if name), "_self_"]
    defaults += [{f"override /{group}": name} for group, name in chosen.items()]
    head = f"# @package _global_\n# {_line(about)}\n"
    files["profile/best.yaml"] = head + yaml.safe_dump({"defaults": defaults}, sort_keys=False)
    return files, rest


def _line(text: str) -> str:
    """One line of a comment, whatever stands in it."""
    return " ".join(text.split())
