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
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import mlx.utils
from mlx_lm.generate import BatchGenerator  # `mlx_lm.generate` as an attribute is the function, not the module
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.sample_utils import greedy_sampler, make_sampler
from mlx_lm.utils import load

from runner.engine.constrain import Grammar, MaskingSampler, Pick, RowFault, announce_rows
from runner.engine.protocol import Admission, EngineError, Facts, FinishedRow, Pace, Row, refusal
from runner.engine.turns import follow_up_ids

_PEAK_FACTOR = 2.2
"""filter, extend and merge copy the KV of the whole batch: measured peak 2.0 to 2.2 times the batch's KV."""

_KV_STEP = 256
"""mlx-lm grows a cache in steps of this many tokens."""

_MIN_SHARED = 24
"""A shared prefix shorter than this is not worth its own prefill."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Bytes are bytes; `memory_limit_bytes` 0 = no admission by memory. `grammar` is llguidance's text, None = answers
    are free; `answer_prefix` stands in every prompt already. `threads` make the masks. `ignore_eos`: rows end at
    max_tokens alone."""

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
    share_prefix: bool
    cache_limit_bytes: int
    memory_limit_bytes: int
    wired: Literal["off", "fit", "max"]
    grammar: str | None
    answer_prefix: str
    threads: int


@dataclass(slots=True)
class _Live:
    row: Row
    generated: list[int] = field(default_factory=list)
    first_token_ns: int = 0


class MlxEngine:
    """See `runner.engine.protocol.Engine`."""

    def __init__(self, model_path: Path, settings: EngineSettings) -> None:
        self._settings = settings
        self._wired = _apply_limits(settings)
        self._model, self._tokenizer, config = load(str(model_path), return_config=True)
        self._config: dict[str, Any] = config
        self._weights_bytes = sum(array.nbytes for _, array in mlx.utils.tree_flatten(self._model.parameters()))
        self._kv_bytes, vocab_size = _measure(self._model)
        self._eos = tuple(sorted(int(token) for token in self._tokenizer.eos_token_ids))
        self._sampler = MaskingSampler(_pick(settings), settings.threads)
        self._grammar: Grammar | None = None
        if settings.grammar is not None:
            inner = self._tokenizer._tokenizer  # the wrapper is mlx-lm's, llguidance wants transformers' own
            self._grammar = Grammar(inner, vocab_size, self._eos, settings.grammar, settings.answer_prefix)
        if settings.wired == "fit":
            self._wired = _fit_wired(self._weights_bytes, settings, self._kv_bytes)
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self._live: dict[int, _Live] = {}  # by the generator's uid
        self._uids: dict[int, int] = {}  # key -> uid
        self._prefix: list[int] = []
        self._prefix_cache: list[Any] | None = None
        self._pace = Pace()
        self._generator = self._new_generator()

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
        self._read_pace()
        self._open_window(self._generator)
        return self._pace

    def _open_window(self, generator: Any) -> None:
        self._window = generator.stats()
        self._seen = self._window.__enter__()

    def _read_pace(self) -> None:
        """Ends the generator's window of statistics and adds it."""
        self._window.__exit__(None, None, None)
        seen, pace = self._seen, self._pace
        self._pace = replace(
            pace,
            prefill_tokens=pace.prefill_tokens + seen.prompt_tokens,
            prefill_s=pace.prefill_s + seen.prompt_time,
            decode_tokens=pace.decode_tokens + seen.generation_tokens,
            decode_s=pace.decode_s + seen.decode_time,
        )

    def _count_rows(self, rows: int, shared: int, tokens: int) -> None:
        pace = self._pace
        self._pace = replace(
            pace,
            rows=pace.rows + rows,
            shared_rows=pace.shared_rows + shared,
            shared_tokens=pace.shared_tokens + tokens,
        )

    def refuse(self, row: Row) -> str:
        """Why this row can never run ("too_long: ..."), or the empty string."""
        return refusal(row, self._settings.max_model_len)

    def admits(self, row: Row, beside: Sequence[Row]) -> Admission:
        """weights + 2.2 x rows x longest row x KV bytes must fit, this row and those beside it counted in."""
        limit = self._settings.memory_limit_bytes
        if limit <= 0:
            return "now"
        if self._needs(1, _tokens(row)) > limit:
            return "never"
        others = [*(live.row for live in self._live.values()), *beside]
        longest = max(map(_tokens, [row, *others]))
        return "now" if self._needs(len(others) + 1, longest) <= limit else "later"

    def _needs(self, rows: int, longest: int) -> int:
        padded = -(-longest // _KV_STEP) * _KV_STEP
        return int(self._weights_bytes) + int(_PEAK_FACTOR * rows * padded * self._kv_bytes)

    def insert(self, rows: Sequence[Row]) -> None:
        """Longest first, so that one prefill batch holds rows of about one length."""
        if not rows:
            return
        ordered = sorted(rows, key=lambda row: -len(row.token_ids))
        prompts = [list(row.token_ids) for row in ordered]
        with self._faults():
            self._learn_prefix(prompts)
            shared = [self._has_prefix(prompt) for prompt in prompts]
            skip = len(self._prefix)
            uids = self._generator.insert(
                [prompt[skip:] if has else prompt for prompt, has in zip(prompts, shared, strict=True)],
                [row.max_tokens for row in ordered],
                caches=[self._prefix_cache if has else make_prompt_cache(self._model) for has in shared],
                all_tokens=[list(self._prefix) if has else [] for has in shared],
            )
        self._count_rows(len(ordered), sum(shared), sum(shared) * skip)
        for uid, row in zip(uids, ordered, strict=True):
            if self._grammar is not None:
                self._sampler.constrain(uid, self._grammar.matcher())
            self._live[uid] = _Live(row)
            self._uids[row.key] = uid
            self.prompt_tokens += len(row.token_ids)

    def step(self) -> list[FinishedRow]:
        """One decode step and at most one prefill step."""
        with self._faults():
            _, responses = self._generator.next()
        now = time.monotonic_ns()
        finished: list[FinishedRow] = []
        for response in responses:
            live = self._live[response.uid]
            if not live.first_token_ns:
                live.first_token_ns = now
            self.generated_tokens += 1
            if response.finish_reason != "stop":  # the stop token itself is returned, with this reason
                live.generated.append(int(response.token))
            if response.finish_reason is not None:
                finished.append(self._finish(response.uid, response.finish_reason, now))
        return finished

    def _finish(self, uid: int, reason: Literal["stop", "length"], now: int) -> FinishedRow:
        live = self._live.pop(uid)
        del self._uids[live.row.key]
        self._sampler.forget([uid])
        if self._grammar is not None:
            text = self._grammar.text(live.generated)
        else:
            text = self._tokenizer.decode(live.generated, skip_special_tokens=True)
        return FinishedRow(live.row.key, tuple(live.generated), text, reason, live.first_token_ns, now)

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
        self._prefix, self._prefix_cache = [], None
        self._read_pace()
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
        self._open_window(generator)
        return generator

    @contextlib.contextmanager
    def _faults(self) -> Any:
        try:
            yield
        except RowFault as fault:
            raise EngineError(str(fault), guilty=self._live[fault.uid].row.key) from fault
        except Exception as error:
            raise EngineError(f"{type(error).__name__}: {error}") from error

    def _learn_prefix(self, prompts: Sequence[list[int]]) -> None:
        """Keeps the longest prefix shared by all prompts so far; it only shrinks and settles on the system prompt."""
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
        if len(shared) < _MIN_SHARED:
            return
        self._prefix = list(shared)
        self._count_rows(0, 0, -len(shared))
        self._prefix_cache = make_prompt_cache(self._model)
        with mx.stream(self._generator.stream):
            for start in range(0, len(shared), self._settings.prefill_step_size):
                piece = shared[start : start + self._settings.prefill_step_size]
                self._model(mx.array(piece)[None], cache=self._prefix_cache)
                mx.eval([layer.state for layer in self._prefix_cache])  # the KV alone: the head is never computed

    def _has_prefix(self, prompt: list[int]) -> bool:
        size = len(self._prefix)
        return self._prefix_cache is not None and len(prompt) > size and prompt[:size] == self._prefix


def common_prefix(prompts: Sequence[Sequence[int]]) -> list[int]:
    """The longest common start that leaves each prompt at least one token of its own."""
    low, high = min(map(list, prompts)), max(map(list, prompts))  # in lexical order the extremes differ first
    bound = min(len(prompt) for prompt in prompts) - 1
    size = 0
    while size < bound and low[size] == high[size]:
        size += 1
    return list(low[:size])


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


def _measure(model: Any) -> tuple[int, int]:
    """(KV bytes of a token, size of the vocabulary). Measured, not derived: one token through a fresh cache tells the
    dtype, the layers that keep state, and the width of the logits, which may be more than the tokenizer knows."""
    cache = make_prompt_cache(model)
    logits = model(mx.array([[0]]), cache=cache)
    mx.eval([layer.state for layer in cache])
    arrays = [part for layer in cache for part in layer.state if isinstance(part, mx.array) and part.ndim == 4]
    return sum(array.nbytes // array.shape[2] for array in arrays), int(logits.shape[-1])


def _apply_limits(settings: EngineSettings) -> int:
    if settings.memory_limit_bytes > 0:
        mx.set_memory_limit(settings.memory_limit_bytes)
    mx.set_cache_limit(settings.cache_limit_bytes)
    recommended = int(mx.device_info().get("max_recommended_working_set_size", 0))
    wired = recommended if settings.wired == "max" else 0
    if recommended:
        mx.set_wired_limit(wired)
    return wired


def _fit_wired(weights: int, settings: EngineSettings, kv_bytes: int) -> int:
    """weights + the batch's KV + 8 GiB, never above what the system recommends (more is an error)."""
    recommended = int(mx.device_info().get("max_recommended_working_set_size", 0))
    wanted = weights + settings.max_num_seqs * settings.max_model_len * kv_bytes + (8 << 30)
    wired = min(wanted, recommended)
    if recommended:
        mx.set_wired_limit(wired)
    return wired
