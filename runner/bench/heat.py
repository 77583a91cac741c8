"""One heat: contestants in processes of their own, loaded first, started together, timed from start to last end.

Called by bench.engine. Does not choose who runs.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import RunFailed
from runner.models.child import ask

Ask = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""Has one process do the verb by the spec; its answer."""

_LOAD_TIMEOUT_S = 600.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Heat:
    """What one heat came to. `outputs` are the answers by document."""

    documents: int
    seconds: float
    cpu_s: float
    prompt_tokens: int
    generated_tokens: int
    prefill_s: float
    decode_s: float
    peak_bytes: int
    outputs: Mapping[int, str]


def run_heat(
    specs: Sequence[Mapping[str, Any]],
    decode: Callable[[Sequence[int]], str],
    folder: Path,
    asking: Ask = ask,
) -> Heat:
    """Each spec is one process; all are loaded before the first works. Raises what `asking` raises."""
    gate = folder / f"gate.{time.monotonic_ns()}"
    gate.touch()
    with gate.open("rb") as held, ThreadPoolExecutor(len(specs)) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        asked = [pool.submit(asking, "measure-engine", {**spec, "gate": str(gate)}) for spec in specs]
        try:
            _wait_until_loaded(gate, asked)
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)
        answers = [future.result() for future in asked]
    outputs = {
        document: decode(ids)
        for spec, answer in zip(specs, answers, strict=True)
        for document, ids in zip(spec["documents"], answer["outputs"], strict=True)
    }
    seconds = (max(a["ended_ns"] for a in answers) - min(a["started_ns"] for a in answers)) / 1e9
    return Heat(
        documents=len(outputs),
        seconds=seconds,
        cpu_s=sum(a["cpu_s"] for a in answers),
        prompt_tokens=sum(a["prompt_tokens"] for a in answers),
        generated_tokens=sum(a["generated_tokens"] for a in answers),
        prefill_s=sum(a["prefill_s"] for a in answers),
        decode_s=sum(a["decode_s"] for a in answers),
        peak_bytes=max(a["peak_bytes"] for a in answers),
        outputs=outputs,
    )


def _wait_until_loaded(gate: Path, asked: Sequence[Future[dict[str, Any]]]) -> None:
    deadline = time.monotonic() + _LOAD_TIMEOUT_S
    while len(list(gate.parent.glob(f"{gate.name}.*"))) < len(asked):
        for future in asked:
            if future.done():
                future.result()  # it ended before it was ready: its error is the reason
        if time.monotonic() > deadline:
            raise RunFailed(f"no model was loaded within {_LOAD_TIMEOUT_S:.0f} s", "see stderr above")
        time.sleep(_POLL_S)
