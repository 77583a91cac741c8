"""The one module around mlx-lm's BatchGenerator: rows in, finished rows out, greedy by default.

Pinned against mlx-lm 0.32.2; tests/unit/engine holds its contract. Known traps are answered here: the generator raises
the wired limit in its constructor; an exception in `next()` loses rows silently, so every fault empties the whole
engine; rows are padded to the longest, so rows inserted together go longest first; a system prompt shared by all rows
is prefilled once and its cache object handed to every row (copied from, never changed). With a grammar every row is
masked, by constrain's one sampler.

It does NOT validate JSON, repair, or talk to the channel. Not thread-safe: one thread makes it and uses it, because mlx
streams are thread-local.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import mlx.utils
from mlx_lm.generate import BatchGenerator  # `mlx_lm.generate` as an attribute is the function, not the module
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.sample_utils import greedy_sampler, make_sampler
from mlx_lm.utils import load

from runner.config.worker_spec import THINKING_MARKS
from runner.engine import memory
from runner.engine.constrain import Grammar, MaskingSampler, Pick, RowFault, announce_rows
from runner.engine.paces import PaceBook
from runner.engine.prefix import common_prefix
from runner.engine.protocol import Admission, EngineError, Facts, FinishedRow, Pace, Row, refusal
from runner.engine.thoughts import Marks
from runner.engine.turns import follow_up_ids

_MIN_SHARED = 24
"""A shared prefix shorter than this is not worth its own prefill."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Bytes are bytes; `memory_limit_bytes` 0 = no admission by memory. `grammar` is llguidance's text, None = answers
    are free; `answer_prefix` stands in every prompt already. `threads` make the masks. `ignore_eos`: rows end at
    max_tokens alone. `thinking_tokens`: see WorkerSpec."""

    max_num_seqs: int
    prefill_batch_size: int
    prefill_step_size: int
    max_model_len: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int
    ignore_eos: bool
    thinking_tokens: int
    share_prefix: bool
    cache_limit_bytes: int
    memory_limit_bytes: int
    wired: Literal["off", "fit", "max"]
    grammar: str | None
    answer_prefix: str
    threads: int


@dataclass(slots=True)
class _Live:
    """`thinks`: the answer stands behind thoughts, and is at most `most` tokens long."""

    row: Row
    thinks: bool
    most: int
    generated: list[int] = field(default_factory=list)
    first_token_ns: int = 0


class MlxEngine:
    """See `runner.engine.protocol.Engine`."""

    def __init__(self, model_path: Path, settings: EngineSettings, resident: Callable[[], int] | None = None) -> None:
        """`resident`: the bytes of memory that this process holds; without it they are estimated."""
        self._settings = settings
        self._resident = resident
        self._wired = memory.apply_limits(settings.memory_limit_bytes, settings.cache_limit_bytes, settings.wired)
        self._model, self._tokenizer, config = load(str(model_path), return_config=True)
        self._config: dict[str, Any] = config
        self._weights_bytes = sum(array.nbytes for _, array in mlx.utils.tree_flatten(self._model.parameters()))
        self._kv_bytes, vocab_size = memory.measure(self._model)
        self._eos = tuple(sorted(int(token) for token in self._tokenizer.eos_token_ids))
        self._sampler = MaskingSampler(_pick(settings), settings.threads, self._eos)
        self._marks = Marks.of(self._tokenizer) if settings.thinking_tokens else None
        self._grammar: Grammar | None = None
        if settings.grammar is not None:
            inner = self._tokenizer._tokenizer  # the wrapper is mlx-lm's, llguidance wants transformers' own
            self._grammar = Grammar(inner, vocab_size, self._eos, settings.grammar, settings.answer_prefix)
        if settings.wired == "fit":
            kv_bytes = settings.max_num_seqs * settings.max_model_len * self._kv_bytes
            self._wired = memory.fit_wired(self._weights_bytes, kv_bytes)
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self._live: dict[int, _Live] = {}  # by the generator's uid
        self._uids: dict[int, int] = {}  # key -> uid
        self._prefix: list[int] = []
        self._prefix_cache: list[Any] | None = None
        self._book = PaceBook()
        self._generator = self._new_generator()
        memory.give_back()  # of what loading took: it is no part of what stands
        self._footprint = memory.footprint(
            config,
            self._weights_bytes,
            self._kv_bytes,
            vocab_size,
            rows=min(settings.prefill_batch_size, settings.max_num_seqs),
            tokens=settings.prefill_step_size,
            cache=settings.cache_limit_bytes,
            held=resident() if resident else 0,
        )

    @property
    def facts(self) -> Facts:
        """What the worker reports when it is ready."""
        return Facts(
            engine="mlx",
            device=str(mx.default_device()),
            eos_token_ids=self._eos,
            vocab_size=int(self._config.get("vocab_size", 0)),
            weights_bytes=self._weights_bytes,
            kv_bytes_per_token=self._kv_bytes,
            settings={
                "wired_limit_bytes": self._wired,
                "cache_limit_bytes": self._settings.cache_limit_bytes,
                "constrain": "llguidance" if self._grammar else "off",
            },
        )

    @property
    def active(self) -> int:
        """Rows inserted and not yet finished or removed."""
        return len(self._live)

    @property
    def memory_bytes(self) -> int:
        """Bytes mlx holds now, its pool of freed buffers included."""
        return int(mx.get_active_memory() + mx.get_cache_memory())

    @property
    def pace(self) -> Pace:
        """Work and seconds so far, as the generator accounts for them."""
        return self._book.read(self._generator)

    def refuse(self, row: Row) -> str:
        """Why this row can never run ("too_long: ..."), or the empty string."""
        return refusal(row, self._settings.max_model_len)

    def shortfall(self) -> str:
        """Why not even one row of max_model_len fits into this worker's memory, or the empty string."""
        limit, row = self._settings.memory_limit_bytes, self._settings.max_model_len
        if limit <= 0 or self._footprint.needs(1, row) <= limit:
            return ""
        return (
            f"a worker has {limit >> 20} MiB of the mlx pool; the process with its model takes "
            f"{self._footprint.standing_bytes >> 20} MiB, with one row of {row} tokens "
            f"{self._footprint.needs(1, row) >> 20} MiB; the longest row that fits has "
            f"{self._footprint.longest_row(limit)} tokens"
        )

    def admits(self, row: Row, beside: Sequence[Row]) -> Admission:
        """What all rows need at their worst moment must fit, this one and those beside it counted in."""
        limit = self._settings.memory_limit_bytes
        if limit <= 0:
            return "now"
        if self._footprint.needs(1, _tokens(row)) > limit:
            return "never"
        others = [*(live.row for live in self._live.values()), *beside]
        if self._all_need(others, row) <= limit:
            return "now"
        if others:
            return "later"
        self._forget_prefix()  # what is shared can be computed again
        return "now"

    def _all_need(self, rows: Sequence[Row], *more: Row) -> int:
        every = [*rows, *more]
        return self._footprint.needs(len(every), max(map(_tokens, every), default=0), len(self._prefix))

    def relieve(self) -> None:
        """Gives back what can be had again: the shared prefix when no row runs, freed buffers, free heap."""
        if not self._live:
            self._forget_prefix()
        memory.give_back()

    def _make_room(self, rows: Sequence[Row]) -> None:
        """What earlier batches left in the heap must not come on top of what these rows need."""
        limit = self._settings.memory_limit_bytes
        if limit <= 0 or self._resident is None:
            return
        every = [*(live.row for live in self._live.values()), *rows]
        alive = max(0, int(mx.get_active_memory()) - self._weights_bytes)
        left_over = self._resident() - self._footprint.standing_bytes - alive
        if left_over + self._all_need(every) - self._footprint.cache_bytes > limit:
            memory.give_back()

    def insert(self, rows: Sequence[Row]) -> None:
        """Longest first, so that one prefill batch holds rows of about one length."""
        if not rows:
            return
        ordered = sorted(rows, key=lambda row: -len(row.token_ids))
        prompts = [list(row.token_ids) for row in ordered]
        self._make_room(ordered)
        with self._faults():
            self._learn_prefix(prompts, self._longest_prefix(ordered))
            shared = [self._has_prefix(prompt) for prompt in prompts]
            skip = len(self._prefix)
            uids = self._generator.insert(
                [prompt[skip:] if has else prompt for prompt, has in zip(prompts, shared, strict=True)],
                [row.max_tokens for row in ordered],
                caches=[self._prefix_cache if has else make_prompt_cache(self._model) for has in shared],
                all_tokens=[list(self._prefix) if has else [] for has in shared],
            )
        self._book.rows(len(ordered), sum(shared), sum(shared) * skip)
        for uid, row in zip(uids, ordered, strict=True):
            if self._grammar is not None:
                self._sampler.constrain(uid, self._grammar.matcher())
            self._live[uid] = self._begin(uid, row)
            self._uids[row.key] = uid
            self.prompt_tokens += len(row.token_ids)

    def _begin(self, uid: int, row: Row) -> _Live:
        if self._marks is None:
            return _Live(row, False, row.max_tokens)
        budget = self._settings.thinking_tokens
        thought = self._marks.thought_of(row.token_ids, budget)
        if thought is not None:
            self._sampler.let_think(uid, thought)
        return _Live(row, thought is not None, row.max_tokens - budget - THINKING_MARKS)

    def step(self) -> list[FinishedRow]:
        """One decode step and at most one prefill step."""
        with self._faults():
            _, responses = self._generator.next()
        now = time.monotonic_ns()
        finished: list[FinishedRow] = []
        full: list[int] = []
        for response in responses:
            live = self._live[response.uid]
            if not live.first_token_ns:
                live.first_token_ns = now
            self.generated_tokens += 1
            if response.finish_reason != "stop":  # the stop token itself is returned, with this reason
                live.generated.append(int(response.token))
            if response.finish_reason is not None:
                finished.append(self._finish(response.uid, response.finish_reason, now))
            elif self._marks is not None and len(self._answer(live)) >= live.most:
                full.append(response.uid)
        if full:  # a row that thought less than it might
            with self._faults():
                self._generator.remove(full)
            finished += [self._finish(uid, "length", now) for uid in full]
        return finished

    def _answer(self, live: _Live) -> list[int]:
        """What was written behind the thoughts."""
        if not live.thinks or self._marks is None:
            return live.generated
        begins = self._marks.answer_begins(live.generated)
        return [] if begins is None else live.generated[begins:]

    def _finish(self, uid: int, reason: Literal["stop", "length"], now: int) -> FinishedRow:
        live = self._live.pop(uid)
        del self._uids[live.row.key]
        self._sampler.forget([uid])
        answer = self._answer(live)
        if live.thinks:
            thought = len(live.generated) - len(answer)
            self._book.thought(thought, cut=thought >= self._settings.thinking_tokens)
        if self._grammar is not None:
            text = self._grammar.text(answer)
        else:
            text = self._tokenizer.decode(answer, skip_special_tokens=True)
        return FinishedRow(live.row.key, tuple(answer), text, reason, live.first_token_ns, now)

    def remove(self, keys: Sequence[int]) -> None:
        """Takes rows out unfinished; unknown keys are ignored."""
        uids = [self._uids.pop(key) for key in keys if key in self._uids]
        with self._faults():
            self._generator.remove(uids)
        self._sampler.forget(uids)
        for uid in uids:
            del self._live[uid]

    def rebuild(self) -> None:
        """A fresh generator over the same weights; every live row is forgotten."""
        self._live.clear()
        self._uids.clear()
        self._sampler.clear()
        self._forget_prefix()
        self._book.close()
        self._generator.close()
        self._generator = self._new_generator()
        mx.clear_cache()

    def follow_up(self, row: Row, answer: Sequence[int], message: str, answer_prefix: str) -> list[int]:
        """Prompt ids of a second turn after the model's `answer`."""
        return follow_up_ids(self._tokenizer, row.token_ids, answer, message, answer_prefix)

    def stats(self) -> Any:
        """mlx-lm's own account of prefill and decode while the `with` block runs; `rebuild` ends it."""
        return self._generator.stats()

    def text(self, ids: Sequence[int]) -> str:
        """What these tokens say."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def close(self) -> None:
        """Frees the generator; the engine is not used again."""
        self._live.clear()
        self._generator.close()

    def _new_generator(self) -> Any:
        generator = BatchGenerator(
            self._model,
            stop_tokens=[] if self._settings.ignore_eos else [[token] for token in self._eos],
            sampler=self._sampler,
            completion_batch_size=self._settings.max_num_seqs,
            prefill_batch_size=min(self._settings.prefill_batch_size, self._settings.max_num_seqs),
            prefill_step_size=self._settings.prefill_step_size,
        )
        # The constructor wired the whole recommended working set; put our own limit back (no effect without Metal).
        if generator._old_wired_limit is not None:
            mx.set_wired_limit(self._wired)
            generator._old_wired_limit = None
        announce_rows(generator, self._sampler)
        self._book.open(generator)
        return generator

    @contextlib.contextmanager
    def _faults(self) -> Any:
        try:
            yield
        except RowFault as fault:
            raise EngineError(str(fault), guilty=self._live[fault.uid].row.key) from fault
        except Exception as error:
            raise EngineError(f"{type(error).__name__}: {error}") from error

    def _forget_prefix(self) -> None:
        self._prefix, self._prefix_cache = [], None

    def _longest_prefix(self, rows: Sequence[Row]) -> int:
        limit = self._settings.memory_limit_bytes
        every = [*(live.row for live in self._live.values()), *rows]
        longest = max(map(_tokens, every))
        return self._footprint.longest_prefix(limit, len(every), longest) if limit > 0 else longest

    def _learn_prefix(self, prompts: Sequence[list[int]], most: int) -> None:
        """Keeps the longest prefix shared by all prompts so far, of `most` tokens where memory allows no more; it only
        shrinks and settles on the system prompt."""
        if not self._settings.share_prefix:
            return
        if self._prefix_cache is None:
            if len(prompts) < 2:
                return
            shared = common_prefix(prompts)
        else:
            shared = common_prefix([[*self._prefix, -1], *prompts])  # no token is -1: the prefix may be shared whole
            if len(shared) == len(self._prefix):
                return
        shared = shared[:most]
        if len(shared) < _MIN_SHARED:
            return
        self._prefix = list(shared)
        self._book.rows(0, 0, -len(shared))
        self._prefix_cache = make_prompt_cache(self._model)
        with mx.stream(self._generator.stream):
            for start in range(0, len(shared), self._settings.prefill_step_size):
                piece = shared[start : start + self._settings.prefill_step_size]
                self._model(mx.array(piece)[None], cache=self._prefix_cache)
                mx.eval([layer.state for layer in self._prefix_cache])  # the KV alone: the head is never computed

    def _has_prefix(self, prompt: list[int]) -> bool:
        size = len(self._prefix)
        return self._prefix_cache is not None and len(prompt) > size and prompt[:size] == self._prefix


def _tokens(row: Row) -> int:
    return len(row.token_ids) + row.max_tokens


def _pick(settings: EngineSettings) -> Pick:
    if settings.temperature <= 0:
        return greedy_sampler  # type: ignore[no-any-return] # mlx_lm has no types
    mx.random.seed(settings.seed)
    sampler: Pick = make_sampler(
        temp=settings.temperature, top_p=settings.top_p, min_p=settings.min_p, top_k=settings.top_k
    )
    return sampler
