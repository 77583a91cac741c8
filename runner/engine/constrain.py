"""Constrained decoding: one llguidance matcher a row, one mask for the whole batch, applied in one call a step.

mlx-lm's own hook (logits processors) costs a Python call, a slice and a device sync for each row and step. Here all
rows share one sampler object, which the batch calls once a step with all its rows. It reads the tokens of the step
before (the one sync), starts the forward pass, and while that runs advances the matchers and fills the masks on the
host.
llguidance's own mlx mask is a Metal kernel; this one is plain mlx and works on every backend.

It does NOT check schemas (answer does) and knows neither leases nor prompts. Used by mlx_lm_adapter, in its thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import llguidance
import llguidance.hf
import llguidance.numpy
import mlx.core as mx
import numpy as np
from mlx_lm.generate import BatchGenerator, GenerationBatch, PromptProcessingBatch

from runner.engine.thoughts import Thought

Pick = Callable[[mx.array], mx.array]
"""(rows, vocabulary) log-probabilities to one token a row; must not need them to add up to one."""

_SHOWN = 200


class RowFault(Exception):  # noqa: N818 - the adapter's word for it
    """The matcher of row `uid` failed; the others are sound, but the step is lost."""

    def __init__(self, uid: int, problem: str) -> None:
        super().__init__(problem)
        self.uid = uid


class Grammar:
    """A grammar over one model's vocabulary. Compiled once; every row gets a copy that has read the begun answer."""

    def __init__(self, tokenizer: Any, vocab_size: int, eos: Sequence[int], grammar: str, begun: str) -> None:
        """`tokenizer` is transformers' fast one. ValueError when it cannot be used or the begun answer does not fit."""
        self._tokens = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocab_size, eos_token=list(eos))
        self._begin = llguidance.LLMatcher(self._tokens, grammar, log_level=0)
        # Any cut of these bytes into tokens will do: what a grammar allows next depends on the bytes alone.
        if begun and not self._begin.is_error():
            self._begin.consume_tokens(self._tokens.tokenize_str(begun))
        if self._begin.is_error():
            raise ValueError(_problem(self._begin))

    def matcher(self) -> llguidance.LLMatcher:
        """One row's own, at the place where the model goes on."""
        return self._begin.deep_copy()

    def text(self, ids: Sequence[int]) -> str:
        """What the matcher read: the tokens' bytes, with no clean-up by the tokenizer's decoder."""
        return str(self._tokens.decode_str(list(ids)))

    def tokens_of(self, answer: str) -> list[int]:
        """ValueError when the grammar does not allow this answer, or not to end there."""
        ids = [int(token) for token in self._tokens.tokenize_str(answer)]
        matcher = self.matcher()
        if matcher.try_consume_tokens(ids) != len(ids) or not (matcher.is_accepting() or matcher.is_stopped()):
            raise ValueError(f"the grammar does not allow {answer[:_SHOWN]!r}")
        return ids

    def forced(self, answer: str) -> tuple[int, int]:
        """Of the tokens of an allowed answer: how many follow from the grammar alone, and how many there are."""
        matcher, rest, forced, count = self.matcher(), answer.encode(), 0, 0
        while rest and not matcher.is_stopped():
            ids = matcher.compute_ff_tokens()
            forced += len(ids)
            ids = ids or self._tokens.tokenize_bytes(rest)[:1]
            if not matcher.consume_tokens(ids):
                raise ValueError(_problem(matcher))
            count += len(ids)
            rest = rest[len(self._tokens.decode_bytes(ids)) :]
        return forced, count


class MaskingSampler:
    """Picks the next token of every row of a batch; rows that have a matcher only get what their grammar allows, rows
    that think first only what keeps them within their budget."""

    def __init__(self, pick: Pick, threads: int, eos: Sequence[int] = ()) -> None:
        self._pick = pick
        self._eos = list(eos)
        self._thoughts: dict[int, Thought] = {}
        self._executor = llguidance.LLExecutor(num_threads=threads)
        self._matchers: dict[int, llguidance.LLMatcher] = {}
        self._uids: list[int] = []
        self._previous: mx.array | None = None

    def constrain(self, uid: int, matcher: llguidance.LLMatcher) -> None:
        """From its first token on, row `uid` follows this matcher."""
        self._matchers[uid] = matcher

    def let_think(self, uid: int, thought: Thought) -> None:
        """Row `uid` thinks first; its matcher, if it has one, begins behind that."""
        self._thoughts[uid] = thought

    def forget(self, uids: Iterable[int]) -> None:
        """Rows that ended or were taken out; unknown ones are ignored."""
        for uid in uids:
            self._matchers.pop(uid, None)
            self._thoughts.pop(uid, None)

    def clear(self) -> None:
        """Forgets every row."""
        self._matchers.clear()
        self._thoughts.clear()

    def expect(self, uids: Sequence[int], previous: mx.array | None) -> None:
        """Said by a batch before it steps: its rows in order, and their tokens of the step before (None: it is the
        first step of all of them, what they read last belongs to the prompt)."""
        self._uids, self._previous = list(uids), previous

    def __call__(self, logprobs: mx.array) -> mx.array:
        """One token a row. Raises RowFault."""
        uids, previous, self._uids, self._previous = self._uids, self._previous, [], None
        if len(uids) != logprobs.shape[0]:
            raise AssertionError(f"{len(uids)} rows were announced, {logprobs.shape[0]} are sampled")
        held = [(place, uid) for place, uid in enumerate(uids) if uid in self._matchers or uid in self._thoughts]
        if not held:
            return self._pick(logprobs)
        read: Any = None if previous is None else previous.tolist()  # waits for the step before
        mx.async_eval(logprobs)  # type: ignore[no-untyped-call] # the forward pass of this step runs while the masks are made
        thinking: dict[int, int | None] = {}  # place -> the token that must come, None = any but an end
        rows = []
        for place, uid in held:
            token = None if read is None else read[place]
            if uid in self._thoughts:
                wanted = self._thoughts[uid].advance(token)
                if wanted != "over":
                    thinking[place] = None if wanted == "free" else wanted
                    continue
                del self._thoughts[uid]
                token = None  # the last one of the thoughts is none of the answer's
            if (matcher := self._matchers.get(uid)) is not None:
                if token is not None and not matcher.consume_token(token):
                    raise RowFault(uid, _problem(matcher))
                rows.append((place, uid, matcher))
        if not rows and not thinking:
            return self._pick(logprobs)
        return self._pick(mx.where(self._allowed(rows, thinking, logprobs.shape), logprobs, -mx.inf))

    def _allowed(
        self,
        rows: list[tuple[int, int, llguidance.LLMatcher]],
        thinking: dict[int, int | None],
        shape: tuple[int, ...],
    ) -> mx.array:
        count, vocabulary = shape
        bits = llguidance.numpy.allocate_token_bitmask(count, vocabulary)  # all ones: rows without a matcher
        if pairs := [(matcher, place) for place, _, matcher in rows]:
            llguidance.numpy.fill_next_token_bitmask_par(self._executor, pairs, bits)
        for _, uid, matcher in rows:
            if matcher.is_error():
                raise RowFault(uid, _problem(matcher))
        expanded = np.unpackbits(bits.view(np.uint8), axis=1, count=vocabulary, bitorder="little")
        for place, token in thinking.items():
            if token is None:
                expanded[place, self._eos] = 0
            else:
                expanded[place] = 0
                expanded[place, token] = 1
        return mx.array(expanded.view(np.bool_))


def _problem(matcher: llguidance.LLMatcher) -> str:
    """Without the parser's state, which llguidance puts behind the first line."""
    first = str(matcher.get_error()).split("\n", 1)[0]
    return f"grammar: {first[:_SHOWN]}"


class _Steps(GenerationBatch):  # type: ignore[misc] # mlx_lm has no types
    """Says whose rows the sampler is about to see."""

    def _step(self) -> Any:
        self.fallback_sampler.expect(self.uids, self._next_tokens)
        return super()._step()


class _Prompts(PromptProcessingBatch):  # type: ignore[misc] # mlx_lm has no types
    """Rows that end their prompt become a batch of their own, which steps once before it joins the others."""

    def generate(self, tokens: list[list[int]]) -> Any:
        """As in mlx-lm."""
        self.fallback_sampler.expect(self.uids, None)
        return super().generate(tokens)


def announce_rows(generator: BatchGenerator, sampler: MaskingSampler) -> None:
    """Makes an empty generator's batches tell `sampler`, which must be the generator's own, their rows."""
    prefill = generator.prefill_step_size
    generator._generation_batch = _Steps.empty(generator.model, sampler)
    generator._prompt_batch = _Prompts.empty(generator.model, sampler, prefill_step_size=prefill)
