"""What is said of a run: the first line, the end, and summary.json. Pure: takes numbers, returns text and data.

A rate is always given with its conditions (tokens in and out, model, batch, machine), never alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from runner.config.given import shown
from runner.config.schema import RunnerConfig
from runner.errors import EXIT_DOCUMENTS_FAILED, EXIT_OK
from runner.machine import Machine
from runner.progress import duration_text
from runner.run import pools

SUMMARY_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one life: all of it, and from the first worker ready to the last commit (loading left out)."""

    total_s: float
    working_s: float


def first_line(config: RunnerConfig) -> str:
    """What runs on what, and that the example corpus was chosen for want of an input."""
    profile = config.profile
    chosen = f" ({profile.reason})" if profile.chosen_by == "machine" else ""
    return f"{config.job.name} with {config.model.name}, profile {profile.label}{chosen}; {shown(config)}"


def fitted_lines(config: RunnerConfig) -> list[str]:
    """Each value that a profile for another machine asked for and does not get."""
    return [f"  fitted {fit.key}: {fit.was} -> {fit.now} ({fit.why})" for fit in config.profile.fitted]


def note_lines(config: RunnerConfig) -> list[str]:
    """What the schema asks for and no grammar holds."""
    return [f"  note {note}" for note in config.job.notes]


def nothing_to_do_line(survey: Mapping[str, Any]) -> str:
    """What a second identical run says."""
    return (
        f"nothing to do: {survey['unchanged']} of {survey['files']} files are unchanged and finished; no new run folder"
    )


def nothing_to_do_json(survey: Mapping[str, Any]) -> str:
    """The same on one line for programs: there is no summary of a run that did not begin."""
    said = {"nothing_to_do": True, "files": survey["files"], "inputs_unchanged": survey["inputs_unchanged"]}
    return json.dumps(said)


def why_line(survey: Mapping[str, Any]) -> str:
    """How many files are new or changed; why each is, stands in its input record."""
    rejected = f", {survey['rejected']} that cannot be read" if survey["rejected"] else ""
    return f"{survey['files']} files: {survey['to_do']} to do, {survey['unchanged']} unchanged{rejected}"


def exit_code(counts: Mapping[str, int], max_failed: int) -> int:
    """3 when more documents failed or were quarantined than `job.max_failed` allows."""
    return EXIT_DOCUMENTS_FAILED if counts["failed"] + counts["quarantined"] > max_failed else EXIT_OK


def conditions(config: RunnerConfig, machine: Machine, counts: Mapping[str, int], workers: int, processed: int) -> str:
    """What a rate was reached with."""
    tokens_in = counts["prompt_tokens_done"] / processed if processed else 0.0
    tokens_out = counts["generated_tokens"] / processed if processed else 0.0
    bits = f"{config.model.bits} bit" if config.model.bits else "precision as is"
    return (
        f"({tokens_in:.0f} tokens in, {tokens_out:.0f} out), {config.model.name}, {bits}, "
        f"max_num_seqs {config.batching.max_num_seqs} x {workers} worker{'s' * (workers != 1)}, {machine.chip}"
    )


def build(
    config: RunnerConfig,
    machine: Machine,
    core_summary: Mapping[str, Any],
    counts: Mapping[str, int],
    before: Mapping[str, int],
    workers: int,
    timing: Timing,
    peaks: Mapping[str, int],
) -> dict[str, Any]:
    """summary.json. `core` is the core's own part, unchanged; the rest is arithmetic over it. The rate is that of this
    life: what earlier ones have finished (`before`) took none of its time. Tokens are counted by the life anyway."""
    life = {name: counts[name] - before.get(name, 0) for name in ("ok", "failed", "quarantined")}
    processed = sum(life.values())
    per_hour = 3600 * life["ok"] / timing.working_s if timing.working_s > 0 else 0.0
    ended = counts["ok"] + counts["failed"] + counts["skipped"] + counts["quarantined"]
    return {
        "version": SUMMARY_VERSION,
        "job": config.job.name,
        "model": config.model.name,
        "profile": config.profile.label,
        "inputs": counts["inputs"],
        "ok": counts["ok"],
        "failed": counts["failed"],
        "skipped": counts["skipped"],
        "quarantined": counts["quarantined"],
        "reused": counts["reused"],
        "open": counts["inputs"] - ended,
        "attempts_charged": counts["attempts_charged"],
        "prompt_tokens": counts["prompt_tokens_done"],
        "generated_tokens": counts["generated_tokens"],
        "seconds": round(timing.total_s, 3),
        "working_seconds": round(timing.working_s, 3),
        "docs_per_hour": round(per_hour, 2),
        "conditions": conditions(config, machine, counts, workers, processed),
        "peak_rss_bytes": dict(peaks),
        "core": dict(core_summary),
    }


def end_lines(summary: Mapping[str, Any], folder: str, reasons: Mapping[str, int]) -> list[str]:
    """The end of a run for people: counts, reasons, the rate with its conditions, the folder."""
    lines = [
        f"{summary['ok']} ok, {summary['failed']} failed, {summary['skipped']} skipped, "
        f"{summary['quarantined']} quarantined of {summary['inputs']} documents"
        + (f" ({summary['reused']} requests reused)" if summary["reused"] else "")
        + (f"; {summary['open']} still open" if summary["open"] else "")
        + f" in {duration_text(summary['seconds'])}"
    ]
    lines += [f"  {count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]
    if summary["ok"] and summary["working_seconds"] > 0 and summary["generated_tokens"]:
        lines.append(f"{summary['docs_per_hour']:.1f} docs/h @ {summary['conditions']}")
    if summary["prefix"]["tokens_saved"] > 0:
        prefix = summary["prefix"]
        lines.append(f"{prefix['hit_rate']:.0%} of the prompts shared a prefix: {prefix['tokens_saved']} tokens saved")
    lines += pools.lines(summary["memory"])
    lines.append(folder)
    return lines
