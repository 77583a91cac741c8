"""Parts of a run's report about its machine: memory by pool, processor time, tuning and its state, facts, the log.
Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from runner.report import plots, units
from runner.report.events import Events
from runner.report.markup import Markup, foreign, tag
from runner.report.shell import Cell, facts, table, word
from runner.report.timeline import Timeline

_GOOD: Final = frozenset({"applied", "already", "verified", "reverted"})
_POOLS: Final = (
    ("mlx", "mlx", "model workers: weights, KV cache, activations, and Python itself", "workers_rss_bytes"),
    ("rust", "rust", "text and tokens in the core, counted", "rust_bytes"),
    ("ipc", "ipc", "the channel to the workers, counted", "ipc_bytes"),
)


def memory(environment: Mapping[str, Any], summary: Mapping[str, Any], line: Timeline) -> Markup | None:
    """Each pool with its limit, its peak and what was left; then memory over time."""
    pools = environment.get("pools")
    body: list[object] = []
    if isinstance(pools, Mapping) and line:
        rows: list[Sequence[object]] = [
            _pool(name, _about(about, name, line), float(pools.get(f"{key}_bytes") or 0), line.peaks.get(metric, 0.0))
            for name, key, about, metric in _POOLS
        ]
        if line.least_available is not None:
            reserve = float(pools.get("system_bytes") or 0)
            rows.append(_reserve(reserve, line.least_available))
        head = ["pool", "#limit", "#peak", "#unused", "=what it is"]
        body.append(table("memory by pool: its limit, the highest sample, what was never used", head, rows))
    peaks = summary.get("peak_rss_bytes") or {}
    if peaks:
        parts = [f"{name} {units.size(size)}" for name, size in peaks.items()]
        body.append(tag("p", f"Resident at most, each by itself: {', '.join(parts)}.", cls="quiet"))
    if line and line.peaks.get("workers_rss_bytes"):
        series = [
            plots.Line("workers", line.at, line.values["workers_rss_bytes"], "s1"),
            plots.Line("runner", line.at, line.values["runner_rss_bytes"], "s2"),
        ]
        left = [plots.Line("available", line.at, line.values["available_bytes"], "s3")]
        body.append(
            plots.grid(
                plots.lines("Resident memory", series, line.seconds, units.size, "bytes", line.lives),
                plots.lines("What the machine could still give", left, line.seconds, units.size, "bytes", line.lives),
            )
        )
    return tag("div", body) if any(body) else None


def _about(about: str, pool: str, line: Timeline) -> str:
    """What is in the pool; of the engines' with what they themselves count."""
    engines, cache = line.peaks.get("engine_bytes", 0.0), line.peaks.get("kv_bytes", 0.0)
    if pool != "mlx" or not engines:
        return about
    return f"{about}; the engines held {units.size(engines)} at most, {units.size(cache)} of it KV cache of prompts"


def _pool(name: str, about: str, limit: float, peak: float) -> Sequence[object]:
    left: object = Cell(units.size(max(0.0, limit - peak)), limit - peak)
    if limit and peak > limit:
        left = Cell(word("warn", f"{units.size(peak - limit)} above"), limit - peak)
    return name, Cell(units.size(limit), limit), Cell(units.size(peak), peak), left, about


def _reserve(reserve: float, least: float) -> Sequence[object]:
    said = word("good", "kept") if least >= reserve else word("warn", "touched")
    return (
        "system",
        Cell(units.size(reserve), reserve),
        "",
        said,
        f"reserve for everything else; the machine had at least {units.size(least)} to give",
    )


def processor(line: Timeline, environment: Mapping[str, Any], seconds: float) -> Markup | None:
    """CPU time of runner and workers against what the machine has."""
    cores = int(environment.get("physical_cores") or 0)
    used = line.runner_cpu_s + line.workers_cpu_s
    if not used or not cores or not seconds:
        return None
    capacity = max(cores * seconds, used)
    parts = [
        plots.Share(
            "workers",
            line.workers_cpu_s,
            f"{units.seconds(line.workers_cpu_s)}, {units.share(line.workers_cpu_s, capacity)}",
            "s1",
        ),
        plots.Share(
            "runner and core",
            line.runner_cpu_s,
            f"{units.seconds(line.runner_cpu_s)}, {units.share(line.runner_cpu_s, capacity)}",
            "s2",
        ),
        plots.Share("not ours", capacity - used, units.share(capacity - used, capacity), "s5"),
    ]
    return plots.stacked(f"Processor time of {units.plural(cores, 'core')}", parts)


def tuning(events: Events, journal: Sequence[Mapping[str, Any]], environment: Mapping[str, Any]) -> Markup | None:
    """Each step with what became of it, and whether it is put back; then what workers say that they run with."""
    last = {str(line.get("step")): str(line.get("op")) for line in journal}
    rows: list[Sequence[object]] = []
    for step, fields in events.tuning.items():
        state = str(fields.get("state"))
        shown = word("good" if state in _GOOD else "warn", state.replace("_", " "))
        back = last.pop(step, "")
        after = word("good", "put back") if back == "reverted" else back or "with the process"
        detail = foreign(str(fields.get("detail") or ""))
        rows.append(
            (
                tag("code", foreign(step)),
                fields.get("scope"),
                tag("code", foreign(str(fields.get("value")))),
                shown,
                after,
                detail,
            )
        )
    rows += [(tag("code", foreign(step)), "system", "", op, op, "") for step, op in last.items()]
    body: list[object] = []
    if rows:
        body.append(
            table("tuning steps of this run", ["step", "scope", "value", "state", "afterwards", "=detail"], rows)
        )
    if threads := environment.get("threads_per_worker"):
        workers = int(environment.get("workers") or 1)
        body.append(tag("p", f"{units.plural(workers, 'worker')} with {units.plural(int(threads), 'thread')} each."))
    if events.workers:
        body.append(_workers(events.workers))
    if body and not rows:
        body.insert(0, tag("p", "No step was asked for: the system was left as it is."))
    return tag("div", body) if body else None


def _workers(workers: Mapping[int, Mapping[str, Any]]) -> Markup:
    head = ["worker", "placement", "matrix library", "kernels", "device", "#weights", "#loaded in"]
    rows: list[Sequence[object]] = []
    for number, said in sorted(workers.items()):
        blas = " ".join(str(said[key]) for key in ("blas", "blas_core") if said.get(key))
        kernels = str(said.get("kernels") or "-") + (f" ({said['kernels_made']})" if said.get("kernels_made") else "")
        weights, load = float(said.get("weights_bytes") or 0), float(said.get("load_seconds") or 0)
        rows.append(
            (
                number,
                foreign(str(said.get("placement") or "-")),
                foreign(blas or "-"),
                foreign(kernels),
                foreign(str(said.get("device") or "-")),
                Cell(units.size(weights), weights),
                Cell(units.seconds(load), load),
            )
        )
    return table("as each worker reported it when it was ready", head, rows)


def machine(
    environment: Mapping[str, Any], identity: Mapping[str, Any], events: Events, summary: Mapping[str, Any]
) -> Markup | None:
    """Facts that a figure of this page holds for."""
    if not environment:
        return None
    model = environment.get("model") or {}
    setting = (summary.get("pace") or {}).get("setting") or {}
    versions = [f"runner {identity.get('runner_version')}", f"Python {environment.get('python')}"]
    versions += [f"{name} {setting[name]}" for name in ("mlx", "mlx-lm") if setting.get(name)]
    batching = ", ".join(
        f"{name} {setting[name]}"
        for name in ("max_num_seqs", "prefill_batch_size", "prefill_step_size")
        if setting.get(name)
    )
    memory_bytes = environment.get("memory_bytes")
    cores = int(environment.get("physical_cores") or 0)
    size = f", {units.size(model['bytes'])}" if model.get("bytes") else ""
    happened = ", ".join(f"{count} × {name}" for name, count in sorted(events.counts.items()))
    return facts(
        [
            (
                "machine",
                foreign(
                    f"{environment.get('chip')}, {units.plural(cores, 'core')}, {environment.get('os')} "
                    f"{environment.get('kernel')} ({environment.get('arch')})"
                ),
            ),
            ("memory", f"{units.size(memory_bytes)} ({environment.get('memory_limit')})" if memory_bytes else None),
            (
                "model",
                foreign(
                    f"{model.get('name')}{size}, up to {units.count(model.get('max_position_embeddings') or 0)} tokens"
                )
                if model
                else None,
            ),
            ("weights", tag("code", foreign(str(model["weights_hash"]))) if model.get("weights_hash") else None),
            ("tokenizer", tag("code", foreign(str(model["tokenizer_hash"]))) if model.get("tokenizer_hash") else None),
            ("batching", batching),
            ("versions", ", ".join(versions)),
            (
                "started",
                (
                    f"{identity.get('started_at')}; ended {identity.get('ended_at') or '-'}; "
                    f"exit code {identity.get('exit_code')}"
                ),
            ),
            ("lives", f"{identity.get('incarnation')}" if int(identity.get("incarnation") or 1) > 1 else None),
            ("on the way", happened),
        ]
    )


def complaints(events: Events) -> Markup | None:
    """Warnings and errors of the log, in order."""
    if not events.complaints:
        return None
    rows: list[Sequence[object]] = [
        (at, word("bad" if level != "warning" else "warn", level), tag("code", name), foreign(fields, 600))
        for at, level, name, fields in events.complaints
    ]
    more = (
        tag("p", f"and {events.more_complaints:,} more in log.jsonl", cls="quiet") if events.more_complaints else None
    )
    return tag("div", table("from log.jsonl, times in UTC", ["time", "level", "event", "=what"], rows), more)
