"""Samples a run: counters of the core, what workers report, memory and CPU of its processes and of the machine, into
`metrics.jsonl` and, where it is wanted, in Prometheus' text form.

The run's own loop calls it, so there is no thread but the one that answers HTTP. It does NOT decide anything. Called by
run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.errors import StorageError
from runner.machine import Machine
from runner.metrics import ProcessSample, Sample, counted
from runner.monitor.host import cpus_by_kind, open_host
from runner.monitor.processes import ProcessReader, open_reader
from runner.monitor.rates import RateKeeper
from runner.predict.pace import Work

__all__ = ["Monitor"]


class Monitor:
    """Takes samples, keeps the latest, appends each to `path`. Not thread-safe: one loop calls it."""

    def __init__(self, path: Path, started: float, machine: Machine) -> None:
        """`started`: time.monotonic() of the run's start. StorageError when the file cannot be opened."""
        self._path = path
        self._started = started
        self._memory_bytes = machine.memory_bytes
        self._readers: dict[int, tuple[str, ProcessReader]] = {}
        self._rates = RateKeeper()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError.of(f"cannot open {path}", error) from error
        self._host = open_host(path.parent, cpus_by_kind(machine.cores))
        self._kv_bytes_per_token = 0
        self.watch(os.getpid(), "runner")
        self.peak_rss: dict[str, int] = {}
        self.peak_ipc = 0
        self.least_available: int | None = None
        self.latest: Sample | None = None

    def watch(self, pid: int, name: str) -> None:
        """From now on `pid` is part of each sample as `name`; it drops out by itself when it ends."""
        reader = open_reader(pid)
        if reader is not None:
            self._readers[pid] = (name, reader)

    def engine(self, kv_bytes_per_token: int) -> None:
        """What a worker said of its model when it was ready."""
        self._kv_bytes_per_token = kv_bytes_per_token

    def _processes(self) -> tuple[ProcessSample, ...]:
        samples: list[ProcessSample] = []
        for pid, (name, reader) in list(self._readers.items()):
            seen = reader.read()
            if seen is None:
                reader.close()
                del self._readers[pid]
                continue
            samples.append(ProcessSample(name, pid, seen[0], seen[1]))
            self.peak_rss[name] = max(self.peak_rss.get(name, 0), seen[0], reader.peak())
        return tuple(samples)

    def sample(
        self,
        counters: Mapping[str, int],
        now: float,
        work: Work,
        worker_states: Sequence[str] = (),
        draining: bool = False,
    ) -> Sample:
        """Reads everything once and appends the line. StorageError when the disk refuses."""
        sample = self._take(counters, now, work, worker_states, draining)
        try:
            os.write(self._fd, (sample.to_line() + "\n").encode())
        except OSError as error:
            raise StorageError.of(f"cannot write {self._path}", error) from error
        self.latest = sample
        self.peak_ipc = max(self.peak_ipc, sample.ipc_bytes)
        least = self.least_available
        self.least_available = sample.available_bytes if least is None else min(least, sample.available_bytes)
        return sample

    def _take(
        self, counters: Mapping[str, int], now: float, work: Work, worker_states: Sequence[str], draining: bool
    ) -> Sample:
        processes = self._processes()
        workers = [process for process in processes if process.name != "runner"]
        own = next((process for process in processes if process.name == "runner"), None)
        rates = self._rates.add(counters, now - self._started)
        host = self._host.read(now)
        ended = sum(counters[name] for name in ("ok", "failed", "skipped", "quarantined"))
        # A row ends with a stop token that is no part of its answer; nor are its thoughts, which are asked for.
        answers = counters["generated_tokens"] + work.rows + work.thinking_tokens
        wasted = int(work.total.decode_tokens) - answers
        return Sample(
            unix_ms=time.time_ns() // 1_000_000,
            elapsed_s=round(now - self._started, 3),
            prompt_tokens_per_s=rates.prompt_tokens_per_s,
            generated_tokens_per_s=rates.generated_tokens_per_s,
            documents_per_h=rates.documents_per_h,
            wasted_tokens=max(0, wasted),
            failed_share=round((counters["failed"] + counters["quarantined"]) / ended, 4) if ended else 0.0,
            extract_s=round(counters["extract_us"] / 1e6, 3),
            prepare_s=round(counters["prepare_us"] / 1e6, 3),
            prefill_s=round(work.total.prefill_s, 3),
            decode_s=round(work.total.decode_s, 3),
            prefill_tokens=int(work.total.prefill_tokens),
            decode_tokens=int(work.total.decode_tokens),
            prefix_queries=work.rows,
            prefix_hits=work.shared_rows,
            prefix_tokens_saved=work.shared_tokens,
            stalled_s=rates.stalled_s,
            throughput_share=rates.throughput_share,
            kv_bytes=work.held_tokens * self._kv_bytes_per_token,
            workers_rss_bytes=sum(process.rss_bytes for process in workers),
            runner_rss_bytes=own.rss_bytes if own else 0,
            available_bytes=host.available_bytes,
            available_share=round(host.available_bytes / self._memory_bytes, 4) if self._memory_bytes else 0.0,
            disk_free_bytes=host.disk_free_bytes,
            runner_cpu_s=own.cpu_s if own else 0.0,
            workers_cpu_s=round(sum(process.cpu_s for process in workers), 3),
            performance_busy=host.performance_busy,
            efficiency_busy=host.efficiency_busy,
            psi_cpu=host.psi_cpu,
            psi_memory=host.psi_memory,
            psi_io=host.psi_io,
            temperature_c=host.temperature_c,
            thermal_level=host.thermal_level,
            power_w=host.power_w,
            on_battery=host.on_battery,
            draining=int(draining),
            worker_states=tuple(worker_states),
            processes=processes,
            **counted(counters),
        )

    def close(self) -> None:
        """Closes the file and all readers."""
        for _name, reader in self._readers.values():
            reader.close()
        self._readers.clear()
        self._host.close()
        os.close(self._fd)
