"""What the live view says: rows of a label and a text, from samples. Pure; knows no terminal.

`Board` keeps what one sample does not hold: the course of the rate, the estimate, alerts and the last failure. Called
by screen, which draws the rows, and by tests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from runner.display import visible
from runner.metrics import Sample
from runner.progress.eta import EtaKeeper
from runner.progress.texts import bytes_text, duration_text, ends_text, tokens_text, workers_text

SPARK_POINTS: Final = 512
"""Kept of the rate; a longer run keeps every second one, then every fourth, ..."""

STAGE_WINDOW_S: Final = 20.0
SHOWN_ALERTS: Final = 3
NO_BREAK: Final = "\u00a0"
"""A space at which no line is broken."""


@dataclass(frozen=True, slots=True)
class Row:
    """`text` is one paragraph, to be wrapped; `spark` is drawn instead, as wide as there is room."""

    label: str
    text: str = ""
    style: str = ""
    spark: tuple[float, ...] = ()
    bar: float | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """Whose run it is."""

    job: str
    model: str
    profile: str
    run_id: str


class Board:
    """Fed with each sample; `rows` is the view."""

    def __init__(self, heading: Heading, keys: str) -> None:
        """`keys`: what can be pressed, for the last row."""
        self._heading = heading
        self._keys = keys
        self._eta = EtaKeeper()
        self._eta_text = "not known yet"
        self._rates: list[float] = []
        self._every, self._skipped = 1, 0
        self._recent: deque[Sample] = deque()
        self.closed = False
        self.alerts: Sequence[tuple[str, str, str]] = ()
        """Those that fire: (severity, name, text)."""
        self.failure: tuple[str, str] | None = None

    def feed(self, sample: Sample) -> None:
        """A new sample."""
        eta = self._eta.add(sample)
        self._eta_text = "not known yet" if eta is None else eta.text()
        self._recent.append(sample)
        while len(self._recent) > 2 and sample.elapsed_s - self._recent[1].elapsed_s >= STAGE_WINDOW_S:
            self._recent.popleft()
        self._skipped += 1
        if self._skipped >= self._every:
            self._skipped = 0
            self._rates.append(sample.prompt_tokens_per_s + sample.generated_tokens_per_s)
            if len(self._rates) > SPARK_POINTS:
                self._rates = [max(pair) for pair in zip(self._rates[::2], self._rates[1::2], strict=False)]
                self._every *= 2

    @property
    def eta_text(self) -> str:
        """For the plain line."""
        return self._eta_text

    def rows(self) -> list[Row]:
        """The most important first, but for the keys."""
        if not self._recent:
            return [Row("", "starting"), Row("keys", self._keys)]
        sample, then = self._recent[-1], self._recent[0]
        # While inputs are still being found, a share of them would say too much.
        share = sample.done / sample.inputs if sample.inputs and sample.discovery_done else None
        known = f"{sample.inputs:,}" if sample.discovery_done else f"{sample.inputs:,}+"
        ends = ends_text(sample)
        rows = [
            Row("documents", f"{sample.done:,} of {known}" + (f": {ends}" if ends else ""), bar=share),
            Row("left", f"{self._eta_text}; {sample.documents_per_h:,.0f} documents/h"),
            Row("speed", tokens_text(sample), spark=tuple(self._rates)),
            Row("stage", stage_text(sample, then)),
            Row("workers", workers_row(sample)),
            Row("memory", memory_row(sample)),
            Row("machine", machine_row(sample)),
            Row("waste", waste_row(sample)),
        ]
        styles = {"critical": "bold red", "warning": "yellow"}
        for severity, name, text in self.alerts[:SHOWN_ALERTS]:
            rows.append(Row("alert", visible(f"{severity}: {name}: {text}"), styles.get(severity, "")))
        if len(self.alerts) > SHOWN_ALERTS:
            rows.append(Row("alert", f"{len(self.alerts) - SHOWN_ALERTS} more in alerts.jsonl"))
        if self.failure is not None:
            source, reason = self.failure
            rows.append(Row("failure", f"{visible(source, 120)}: {visible(reason, 160)}"))
        return rows if self.closed else [*rows, Row("keys", self._keys)]

    def title(self) -> str:
        """One line above the rows."""
        heading = self._heading
        state, elapsed = "", ""
        if self._recent:
            sample = self._recent[-1]
            state = "draining" if sample.draining else "paused" if sample.paused else "running"
            over = self.closed and set(sample.worker_states) <= {"gone"}
            state = "ended after" if over else f"{state} for"
            elapsed = f", {state} {duration_text(sample.elapsed_s)}"
        return visible(f"{heading.job} with {heading.model}, profile {heading.profile}{elapsed}")


# ---- pure texts ----


def stage_text(now: Sample, then: Sample) -> str:
    """What holds the run up. `then`: some seconds ago."""
    waiting = max(0, now.pending_requests - now.leased)
    queue = listed([f"{waiting:,} requests wait", f"{now.leased:,} in workers", f"{now.active_rows:,} in engines"])
    if now.worker_states and set(now.worker_states) == {"gone"}:
        return f"workers have ended; {now.leased + waiting:,} requests left"
    if now.draining:
        return f"draining; {queue}"
    if now.paused:
        return f"paused; {queue}"
    if "serving" not in now.worker_states:
        return f"workers load the model; {queue}"
    if waiting == 0 and not now.discovery_done:
        return f"reading documents: workers have room; {queue}"
    prefill, decode = now.prefill_s - then.prefill_s, now.decode_s - then.decode_s
    if prefill + decode <= 0:
        return f"model; {queue}"
    name, part = ("reading prompts", prefill) if prefill > decode else ("writing answers", decode)
    return f"model: {name} ({part / (prefill + decode):.0%} of its time); {queue}"


def listed(items: Iterable[str]) -> str:
    """With commas; an item stays on one line."""
    return ", ".join(item.replace(" ", NO_BREAK) for item in items)


def workers_row(sample: Sample) -> str:
    """States, and what they have had of the processor."""
    states = workers_text(sample.worker_states)
    extract = sum(process.name.startswith("extract") for process in sample.processes)
    return states + (f", {extract} for extraction" if extract else "") + f"; {sample.workers_cpu_s:,.0f} s of CPU"


def memory_row(sample: Sample) -> str:
    """By pool; what is not there is left out."""
    pools = (
        ("rust", sample.rust_bytes),
        ("ipc", sample.ipc_bytes),
        ("engines", sample.engine_bytes),
        ("KV", sample.kv_bytes),
        ("workers", sample.workers_rss_bytes),
        ("runner", sample.runner_rss_bytes),
        ("free", sample.available_bytes),
    )
    return listed(f"{name} {bytes_text(count)}" for name, count in pools if count)


def machine_row(sample: Sample) -> str:
    """What the system shows."""
    kinds = (
        ("performance " if sample.efficiency_busy is not None else "", sample.performance_busy),
        ("efficiency ", sample.efficiency_busy),
    )
    parts = [f"{share:.0%} of {kind}cores busy" for kind, share in kinds if share is not None]
    pressure = [
        f"{name} {value:.0f} %"
        for name, value in (("CPU", sample.psi_cpu), ("memory", sample.psi_memory), ("disk", sample.psi_io))
        if value is not None and value >= 1
    ]
    if pressure:
        parts.append("pressure: " + " ".join(pressure))
    if sample.temperature_c is not None:
        parts.append(f"{sample.temperature_c:.0f} °C")
    if sample.thermal_level:
        parts.append(f"thermal pressure {sample.thermal_level} of 4")
    if sample.power_w is not None:
        parts.append(f"{sample.power_w:.0f} W")
    if sample.on_battery:
        parts.append("on battery")
    parts.append(f"disk {bytes_text(sample.disk_free_bytes)} free")
    return listed(parts)


def waste_row(sample: Sample) -> str:
    """Work that brought nothing, and what sharing prefixes has saved."""
    counts = (
        (sample.requeued, "run again"),
        (sample.attempts_charged, "lost with a worker"),
        (sample.repairs, "repaired"),
        (sample.failed + sample.quarantined, "failed"),
        # Rows under way are in it too: without a row that was lost or asked again they are all there is.
        (sample.wasted_tokens if sample.requeued or sample.repairs else 0, "tokens for nothing"),
    )
    found = [f"{count:,} {what}" for count, what in counts if count]
    if sample.prefix_tokens_saved > 0:
        share = sample.prefix_hits / sample.prefix_queries if sample.prefix_queries else 0.0
        found.append(f"shared prefixes saved {sample.prefix_tokens_saved:,} tokens ({share:.0%} of rows)")
    return listed(found) or "none"
