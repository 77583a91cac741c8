"""Thinking under a budget: what a row that thinks first must write next, and where its answer begins.

A row opens its thoughts, may not end while it thinks, and closes them at the budget at the latest; a grammar begins
behind them. Knows token ids alone, no mlx. Used by constrain's sampler and by mlx_lm_adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from runner.config.worker_spec import THINKING_MARKS

_NEAR: Final = 8
"""Tokens at the end of a prompt that may open thoughts, or close empty ones."""


@dataclass(frozen=True, slots=True)
class Marks:
    """`gap` stands between the closed thoughts and the answer, as chat templates write it."""

    start: int
    end: int
    gap: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> Marks:
        """Of mlx-lm's tokenizer. ValueError for a vocabulary without such marks of one token each."""
        starts, ends = getattr(tokenizer, "_think_start_tokens", None), getattr(tokenizer, "_think_end_tokens", None)
        if not tokenizer.has_thinking or not starts or not ends or len(starts) != 1 or len(ends) != 1:
            raise ValueError("the vocabulary has no marks that begin and end thoughts")
        gap = tuple(int(token) for token in tokenizer.encode("\n\n", add_special_tokens=False))
        if len(gap) + 2 > THINKING_MARKS:
            raise ValueError(f"an empty line is {len(gap)} tokens")
        return cls(int(starts[0]), int(ends[0]), gap)

    def thought_of(self, prompt: Sequence[int], budget: int) -> Thought | None:
        """None when the prompt has closed the thoughts already, as that of a second turn does."""
        near = [int(token) for token in prompt[-_NEAR:]]
        if self.end in near:
            return None
        return Thought(self, budget, begun=self.start in near)

    def answer_begins(self, written: Sequence[int]) -> int | None:
        """Where, in what a thinking row wrote; None while it still thinks."""
        try:
            closed = list(written).index(self.end) + 1
        except ValueError:
            return None
        return closed + len(self.gap)


class Thought:
    """One row's, until its thoughts are closed."""

    def __init__(self, marks: Marks, budget: int, begun: bool) -> None:
        self._marks = marks
        self._left = budget
        self._pending: list[int] = [] if begun else [marks.start]
        self._closing = False
        self._given = False  # the token that is read next was ours

    def advance(self, read: int | None) -> int | Literal["free", "over"]:
        """After the token `read` (None: the prompt): the token that must come, "free" for any but an end, or "over"."""
        if read is not None and not self._closing and not self._given:
            if read == self._marks.end:
                self._close([])
            else:
                self._left -= 1
        if self._left <= 0 and not self._closing:
            self._close([self._marks.end])
        self._given = bool(self._pending)
        if self._pending:
            return self._pending.pop(0)
        return "over" if self._closing else "free"

    def _close(self, first: list[int]) -> None:
        self._closing, self._pending = True, [*first, *self._marks.gap]
