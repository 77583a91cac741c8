"""What holding answers to a grammar costs: finished answers are read again by the sampler, no model beside it.

The same calls as in a batch, rows joining and leaving, with matchers and without, pass by pass. Called by the worker
verb `measure-masks`. Does not generate; the forward pass, which hides a part of this cost, is not here.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.sample_utils import greedy_sampler
from mlx_lm.tokenizer_utils import load as load_tokenizer

from runner.engine.constrain import Grammar, MaskingSampler


@dataclass(frozen=True, slots=True)
class Pass:
    """Seconds of one pass over all tokens, with matchers (`held`) and without."""

    held_s: float
    held_cpu_s: float
    free_s: float
    free_cpu_s: float


@dataclass(frozen=True, slots=True)
class Masks:
    """`tokens` of one pass, ends counted in. `forced`: those that the grammar leaves no choice for, of `walked`, the
    tokens of the same answers when such stretches are taken in one step."""

    tokens: int
    forced: int
    walked: int
    passes: list[Pass]


def measure(model: Path, grammar: str, answers: Sequence[str], rows: int, rounds: int, threads: int) -> Masks:
    """`answers` must be ones that the grammar allows; ValueError names the first that is not."""
    tokenizer = load_tokenizer(model)
    eos = sorted(int(token) for token in tokenizer.eos_token_ids)
    vocabulary = int(json.loads((model / "config.json").read_text(encoding="utf-8"))["vocab_size"])
    held = Grammar(tokenizer._tokenizer, vocabulary, eos, grammar, "")
    texts = [[*held.tokens_of(answer), eos[0]] for answer in answers]
    logits = mx.random.normal((rows, vocabulary))
    mx.eval(logits)
    _pass(None, texts, logits, threads)  # warm
    _pass(held, texts, logits, threads)
    passes = []
    for number in range(rounds):  # which of the two goes first changes
        order = (held, None) if number % 2 else (None, held)
        took = {grammar is held: _pass(grammar, texts, logits, threads) for grammar in order}
        passes.append(Pass(*took[True], *took[False]))
    forced = walked = 0
    for answer in answers:
        some, all_of_it = held.forced(answer)
        forced, walked = forced + some, walked + all_of_it
    return Masks(sum(map(len, texts)), forced, walked, passes)


def _pass(
    grammar: Grammar | None, texts: Sequence[Sequence[int]], logits: mx.array, threads: int
) -> tuple[float, float]:
    """(wall, processor) seconds."""
    sampler = MaskingSampler(greedy_sampler, threads)
    waiting = deque(enumerate(texts))
    live: list[list[Any]] = []  # uid, tokens, how many of them are picked
    wall, cpu = time.perf_counter(), time.process_time()
    while waiting or live:
        joining: list[list[Any]] = [
            [*waiting.popleft(), 0] for _ in range(min(len(waiting), logits.shape[0] - len(live)))
        ]
        if live:
            _step(sampler, live, mx.array([ids[at - 1] for _, ids, at in live], mx.uint32), logits)
        if joining:
            for uid, _, _ in joining:
                if grammar is not None:
                    sampler.constrain(uid, grammar.matcher())
            _step(sampler, joining, None, logits)
        live = [row for row in (*live, *joining) if row[2] < len(row[1])]
    return time.perf_counter() - wall, time.process_time() - cpu


def _step(sampler: MaskingSampler, rows: list[list[Any]], previous: mx.array | None, logits: mx.array) -> None:
    """What the sampler picks is thrown away: the next token is that of the answer."""
    sampler.expect([uid for uid, _, _ in rows], previous)
    mx.eval(sampler(logits[: len(rows)]))
    for row in rows:
        row[2] += 1
        if row[2] == len(row[1]):
            sampler.forget([row[0]])
