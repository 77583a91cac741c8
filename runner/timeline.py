"""trace.json: the run as Perfetto (ui.perfetto.dev) and chrome://tracing draw it: a track for each extract thread and
each row of each worker, and the counters of metrics.jsonl.

Derived from results.jsonl and metrics.jsonl alone. Bounded: of more than `MOST_DOCUMENTS` every n-th document is drawn,
and the file says so. Format: Trace Event Format, JSON object form, whole microseconds; the events of one track never
overlap but as a row's prompt and answer lie inside it. Called by run and `runner show --trace`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from typing import Any, Final

from runner.display import visible
from runner.layout import RunFolder

TRACE_VERSION: Final = 1
MOST_DOCUMENTS: Final = 10_000
"""About 15 MB of JSON, which Perfetto opens at once."""

MOST_SLICES: Final = 40_000
"""A few documents of thousands of parts each are cut here."""

MOST_SAMPLES: Final = 4_000
READ, METRICS, WORKERS = 1, 2, 100
"""Process numbers of the trace; worker n is WORKERS + n."""

SHOWN: Final = ("pending_requests", "leased", "active_rows", "generated_tokens_per_s", "workers_rss_bytes", "kv_bytes")


@dataclass(frozen=True, slots=True)
class Slice:
    """One event, in microseconds since 1970. `track` None: the first row that is free. `split`: where a row's prompt
    ends and its answer begins. `flow`: the document whose way it is part of."""

    pid: int
    name: str
    start: int
    end: int
    args: dict[str, Any]
    flow: int
    track: int | None = None
    split: int | None = None


def write(run: RunFolder) -> dict[str, Any]:
    """Makes run.trace anew, and returns what it says of itself. OSError comes through."""
    total = _count(run.results)
    every = max(1, -(-total // MOST_DOCUMENTS))
    slices: list[Slice] = []
    drawn = 0
    for number, line in enumerate(_lines(run.results, every)):
        if len(slices) >= MOST_SLICES:
            break
        slices += slices_of(line, number)
        drawn += 1
    sampling = "all documents" if every == 1 else f"every {every}th document of results.jsonl"
    if drawn < -(-total // every):
        sampling += f", the first {drawn:,} of these"
    about = {"version": TRACE_VERSION, "documents": total, "documents_drawn": drawn, "sampling": sampling}
    samples = _lines(run.metrics, max(1, -(-_count(run.metrics) // MOST_SAMPLES)))
    temporary = run.trace.with_suffix(".json.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"displayTimeUnit": "ms", "otherData": about})[:-1] + ', "traceEvents": [\n')
        for place, event in enumerate((*events(slices), *counters(samples))):
            file.write(",\n" * (place > 0) + json.dumps(event, separators=(",", ":")))
        file.write("\n]}\n")
    temporary.replace(run.trace)
    return about


def _count(path: Path) -> int:
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _lines(path: Path, every: int) -> Iterator[dict[str, Any]]:
    """Every n-th line; a torn last one of a run that died is passed over."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in islice(file, 0, None, every):
            if line.endswith(b"\n"):
                data = json.loads(line)
                if isinstance(data, dict):
                    yield data


def slices_of(line: Mapping[str, Any], flow: int) -> Iterator[Slice]:
    """A document's way: read, cut and encoded, then each part in a worker. Nothing of what was taken over from another
    run, since it took no time here."""
    source = visible(str(line.get("source", "")), 200)
    name = source.rpartition("/")[2] or source
    facts = {"source": source, "status": line.get("status"), "reason": visible(str(line.get("reason") or ""), 200)}
    read = line.get("read")
    if read is not None:
        end = read["ended_unix_ms"] * 1000
        lasting = round((read["extract_ms"] + read["prepare_ms"]) * 1000)
        split = end - round(read["prepare_ms"] * 1000)
        yield Slice(READ, name, end - lasting, end, facts, flow, read["thread"], split)
    parts = line.get("parts", ())
    for place, part in enumerate(parts):
        made = part.get("made")
        if made is None:
            continue
        end = made["ended_unix_ms"] * 1000
        split = end - round(made["decode_ms"] * 1000)
        start = split - round(made["prefill_ms"] * 1000)
        known = {key: part[key] for key in ("tokens_in", "tokens_out", "finish_reason")}
        label = name if len(parts) == 1 else f"{name} #{place + 1}"
        args = {**facts, **known, "queued_ms": made["queued_ms"]}
        yield Slice(WORKERS + int(made["worker"]), label, start, end, args, flow, split=split)


def placed(slices: Iterable[Slice]) -> list[Slice]:
    """Each on a track of its process, in order of time. Times are known to a millisecond: what would overlap on the
    track of a thread moves behind what is there."""
    last: dict[tuple[int, int], int] = {}
    busy: dict[int, list[tuple[int, int]]] = {}
    free: dict[int, list[int]] = {}
    rows: Counter[int] = Counter()
    found = []
    for each in sorted(slices, key=lambda each: (each.start, each.end)):
        if each.track is not None:
            late = max(0, last.get((each.pid, each.track), 0) - each.start)
            split = None if each.split is None else each.split + late
            moved = replace(each, start=each.start + late, end=each.end + late, split=split)
            last[each.pid, each.track] = moved.end
            found.append(moved)
            continue
        running, spare = busy.setdefault(each.pid, []), free.setdefault(each.pid, [])
        while running and running[0][0] <= each.start:
            heappush(spare, heappop(running)[1])
        if spare:
            track = heappop(spare)
        else:
            track = rows[each.pid]
            rows[each.pid] += 1
        heappush(running, (each.end, track))
        found.append(replace(each, track=track))
    return found


def events(slices: Sequence[Slice]) -> Iterator[dict[str, Any]]:
    """Names of the tracks, then the slices; arrows lead from a document's reading to its parts."""
    ordered = placed(slices)
    yield from _names({(each.pid, each.track or 0) for each in ordered})
    left = Counter(each.flow for each in ordered)
    whole = dict(left)
    for each in ordered:
        where = {"pid": each.pid, "tid": each.track or 0}
        yield {"ph": "X", **where, "name": each.name, **_span(each.start, each.end), "args": each.args}
        words = ("read", "cut and encode") if each.pid == READ else ("prompt", "answer")
        if each.split is not None and each.start <= each.split <= each.end:
            yield {"ph": "X", **where, "name": words[0], **_span(each.start, each.split)}
            yield {"ph": "X", **where, "name": words[1], **_span(each.split, each.end)}
        if whole[each.flow] > 1:
            kind = "s" if left[each.flow] == whole[each.flow] else "f" if left[each.flow] == 1 else "t"
            left[each.flow] -= 1
            step = {"ph": kind, "name": "document", "cat": "flow", "id": each.flow, "ts": each.start}
            yield {**step, **where, **({"bp": "e"} if kind == "f" else {})}


def _span(start: int, end: int) -> dict[str, Any]:
    return {"cat": "document", "ts": start, "dur": end - start}


def _names(tracks: set[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    for pid in sorted({pid for pid, _ in tracks}):
        name = "reading" if pid == READ else f"worker {pid - WORKERS}"
        yield {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}}
        yield {"ph": "M", "pid": pid, "name": "process_sort_index", "args": {"sort_index": pid}}
    for pid, track in sorted(tracks):
        name = f"extract thread {track}" if pid == READ else f"row {track + 1}"
        yield {"ph": "M", "pid": pid, "tid": track, "name": "thread_name", "args": {"name": name}}
        yield {"ph": "M", "pid": pid, "tid": track, "name": "thread_sort_index", "args": {"sort_index": track}}


def counters(samples: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Counter tracks of metrics.jsonl."""
    yield {"ph": "M", "pid": METRICS, "name": "process_name", "args": {"name": "metrics"}}
    for sample in samples:
        for name in SHOWN:
            if isinstance(value := sample.get(name), int | float):
                yield {
                    "ph": "C",
                    "pid": METRICS,
                    "name": name,
                    "ts": sample["unix_ms"] * 1000,
                    "args": {"value": value},
                }
