"""One contestant of `runner bench engine`: token ids in memory, generated ids and times out, the clock after the load.

`runner` drives our adapter as the worker does, without channel and journal: the ceiling of a run. `stock` is mlx-lm's
own `batch_generate`, called as its readme does. Both end every row at `max_tokens`, so that all do the same work. Does
not choose documents and compares nothing: `runner.bench.engine` does. Called by the worker verb `measure-engine`.
"""

from __future__ import annotations

import resource
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx

from runner.engine.mlx_lm_adapter import EngineSettings, MlxEngine
from runner.engine.protocol import Row

Way = Literal["runner", "stock"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`outputs` are the generated ids by document, in the order given; times are of the work after the load."""

    outputs: list[list[int]]
    prompt_tokens: int
    generated_tokens: int
    load_s: float
    started_ns: int
    ended_ns: int
    cpu_s: float
    prefill_s: float
    decode_s: float
    peak_bytes: int


def contest(
    way: Way,
    model: Path,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    settings: EngineSettings,
    gate: Callable[[], None],
) -> Outcome:
    """Loads, waits at `gate` until all of the heat have loaded, and works. `settings` bind the way `runner` only."""
    before = time.monotonic()
    work = _runner(model, prompts, max_tokens, settings) if way == "runner" else _stock(model, prompts, max_tokens)
    load_s = time.monotonic() - before
    gate()
    mx.reset_peak_memory()
    cpu, started = _cpu_s(), time.monotonic_ns()
    outputs, prefill_s, decode_s = work()
    ended = time.monotonic_ns()
    return Outcome(
        outputs=outputs,
        prompt_tokens=sum(map(len, prompts)),
        generated_tokens=sum(map(len, outputs)),
        load_s=load_s,
        started_ns=started,
        ended_ns=ended,
        cpu_s=_cpu_s() - cpu,
        prefill_s=prefill_s,
        decode_s=decode_s,
        peak_bytes=int(mx.get_peak_memory()),
    )


_Work = Callable[[], tuple[list[list[int]], float, float]]


def _runner(model: Path, prompts: Sequence[Sequence[int]], max_tokens: int, settings: EngineSettings) -> _Work:
    engine = MlxEngine(model, settings)

    def work() -> tuple[list[list[int]], float, float]:
        waiting = deque(Row(key, list(prompt), max_tokens) for key, prompt in enumerate(prompts))
        outputs: list[list[int]] = [[] for _ in prompts]
        with engine.stats() as stats:
            while waiting or engine.active:
                room = settings.max_num_seqs - engine.active
                engine.insert([waiting.popleft() for _ in range(min(room, len(waiting)))])
                for row in engine.step():
                    outputs[row.key] = list(row.token_ids)
        return outputs, stats.prompt_time, stats.decode_time

    return work


def _stock(model: Path, prompts: Sequence[Sequence[int]], max_tokens: int) -> _Work:
    from mlx_lm import batch_generate, load

    loaded: Any = load(str(model))
    language_model, tokenizer = loaded[0], loaded[1]
    mx.eval(language_model.parameters())
    tokenizer.eos_token_ids = None  # every row ends at max_tokens

    def work() -> tuple[list[list[int]], float, float]:
        answer = batch_generate(
            language_model,
            tokenizer,
            [list(prompt) for prompt in prompts],
            max_tokens=max_tokens,
            return_token_ids=True,
        )
        assert answer.token_ids is not None
        return answer.token_ids, answer.stats.prompt_time, answer.stats.decode_time

    return work


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
