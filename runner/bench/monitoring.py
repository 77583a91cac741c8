"""`runner bench monitoring`: what watching a run costs. The same run with it and without, in interleaved pairs.

On: a sample a second, alerts, the text file and the page for Prometheus. Off: one sample at the begin and one at the
end. Both arms count in the core and both have workers that report, since neither can be switched off; the screen is not
in it, its cost stands in `monitoring.draw_cpu_s` of a run's summary. CPU time of all processes and documents an hour,
each as the ratio of a pair; what the loop's own thread has counted beside them. Called by commands/bench.
"""

from __future__ import annotations

import json
import math
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from runner import trial
from runner.compare.statistics import Effect, effect, lag_1, spread
from runner.errors import EXIT_OK, RunFailed
from runner.machine import detect

LIMIT: Final = 0.01
"""Of CPU time and of throughput: what the upper end of the interval must stay below."""

SCRIPTED: Final = ("model.engine=scripted", "model.script='{\"steps\": 3}'")
OFF: Final = ("monitor.interval_ms=3600000",)


@dataclass(frozen=True, slots=True)
class Plan:
    """`overrides` as for a run; without an engine among them the scripted one answers."""

    pairs: int
    documents: int
    seed: int
    overrides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """One run. `counted_s`: CPU time that looking took, by the run's own account."""

    seconds: float
    cpu_s: float
    docs_per_hour: float
    samples: int
    counted_s: float


def measure(plan: Plan, folder: Path) -> dict[str, Any]:
    """All pairs. RunFailed for a run that does not end well: its console stands in the message."""
    rng = random.Random(plan.seed)
    documents = folder / "documents.jsonl"
    with documents.open("w", encoding="utf-8") as file:
        for number in range(plan.documents):
            words = " ".join(rng.choices(("lease", "journal", "worker", "token", "prefix", "batch"), k=40))
            file.write(json.dumps({"id": number, "text": f"Document {number}. {words}."}) + "\n")
    engine = () if any(word.startswith("model.engine=") for word in plan.overrides) else SCRIPTED
    base = (f"input={documents}", f"output.dir={folder}", *engine, *plan.overrides)
    on = ("monitor.interval_ms=1000", f"monitor.prometheus.textfile={folder / 'm.prom'}", "monitor.prometheus.port=0")
    arms: dict[str, list[Arm]] = {"on": [], "off": []}
    _run(base, on, folder, 0)  # a warm-up: files and caches
    for pair in range(plan.pairs):
        order = ["on", "off"] if rng.random() < 0.5 else ["off", "on"]
        for name in order:
            arms[name].append(_run(base, on if name == "on" else OFF, folder, pair + 1))
        with_it, without = arms["on"][-1], arms["off"][-1]
        figures = f"CPU {with_it.cpu_s:.2f} and {without.cpu_s:.2f} s, {with_it.docs_per_hour:.0f} and "
        figures += (
            f"{without.docs_per_hour:.0f} documents/h, {with_it.counted_s:.4f} s counted in {with_it.samples} samples"
        )
        print(f"pair {pair + 1} of {plan.pairs}, with and without: {figures}", file=sys.stderr, flush=True)
    return _figures(plan, arms)


def _run(base: Sequence[str], watching: Sequence[str], folder: Path, number: int) -> Arm:
    place = folder / f"run-{number}-{len(watching)}"
    console = folder / "console.txt"
    done = trial.run([*base, *watching], place, console)
    if done.exit_code != EXIT_OK or done.summary is None:
        said = console.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RunFailed(f"a run of the bench ended with {done.exit_code}: {said}", "start it by hand with these words")
    cost = done.summary["monitoring"]
    return Arm(done.seconds, done.cpu_s, done.summary["docs_per_hour"], cost["samples"], cost["cpu_s"])


def _figures(plan: Plan, arms: dict[str, list[Arm]]) -> dict[str, Any]:
    pairs = list(zip(arms["on"], arms["off"], strict=True))
    cpu = [math.log(on.cpu_s / off.cpu_s) for on, off in pairs]
    # Documents an hour of the run without over that with it: above 1 it costs something, as with CPU time.
    speed = [math.log(off.docs_per_hour / on.docs_per_hour) for on, off in pairs]
    counted = sum(arm.counted_s for arm in arms["on"]) / sum(arm.cpu_s for arm in arms["on"])
    samples = sum(arm.samples for arm in arms["on"])
    return {
        "pairs": plan.pairs,
        "documents": plan.documents,
        "machine": detect().chip,
        "overrides": list(plan.overrides),
        "cpu": _shown(effect(cpu), cpu),
        "throughput": _shown(effect(speed), speed),
        "counted_share_of_cpu": round(counted, 5),
        "ms_a_sample": round(1000 * sum(arm.counted_s for arm in arms["on"]) / samples, 3),
        "samples_a_run": round(samples / len(pairs), 1),
        "on": [asdict(arm) for arm in arms["on"]],
        "off": [asdict(arm) for arm in arms["off"]],
    }


def _shown(found: Effect, ratios: Sequence[float]) -> dict[str, Any]:
    return {
        "cost": round(found.ratio - 1, 5),
        "low": round(found.low - 1, 5),
        "high": round(found.high - 1, 5),
        "spread_of_a_pair": round(spread(ratios), 5),
        "lag_1": round(lag_1(ratios), 2),
        "below_limit": found.high - 1 < LIMIT,
    }


def lines(figures: dict[str, Any]) -> list[str]:
    """For people."""
    out = [f"{figures['pairs']} pairs of {figures['documents']} documents, {figures['machine']}"]
    for name, text in (("cpu", "CPU time"), ("throughput", "documents an hour")):
        row = figures[name]
        verdict = "below" if row["below_limit"] else "NOT shown to be below"
        out.append(
            f"{text}: watching costs {row['cost']:+.2%} ({row['low']:+.2%} to {row['high']:+.2%}, 95 %), {verdict} "
            f"{LIMIT:.0%}; one pair spreads by {row['spread_of_a_pair']:.2%}"
        )
    out.append(
        f"counted by the runs themselves: {figures['ms_a_sample']} ms of CPU a sample, "
        f"{figures['samples_a_run']} samples a run, {figures['counted_share_of_cpu']:.3%} of its CPU time"
    )
    return out


def run_monitoring_bench(plan: Plan, as_json: bool) -> int:
    """Prints the figures."""
    with tempfile.TemporaryDirectory(prefix="runner-bench-") as folder, trial.sigterm_raises():
        figures = measure(plan, Path(folder))
    print(json.dumps(figures, indent=2) if as_json else "\n".join(lines(figures)))
    return EXIT_OK
