"""The engine contract: rows of token ids go in, finished rows come out.

It does NOT know leases, channels or journals; `runner.worker` maps between them. Implemented by `mlx_lm_adapter` (the
real model) and `scripted` (deterministic, no model); chosen by `WorkerSpec.kind`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Admission = Literal["now", "later", "never"]


@dataclass(frozen=True, slots=True)
class Row:
    """One request: `token_ids` is the whole prompt, `key` is the caller's name for it and is unique among live rows."""

    key: int
    token_ids: Sequence[int]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class FinishedRow:
    """`token_ids` are the generated ids without the stop token; `text` is their decoding without special tokens."""

    key: int
    token_ids: tuple[int, ...]
    text: str
    finish_reason: Literal["stop", "length"]
    first_token_ns: int
    finished_ns: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the worker reports when it is ready."""

    engine: str
    device: str
    eos_token_ids: tuple[int, ...]
    vocab_size: int
    weights_bytes: int
    kv_bytes_per_token: int
    settings: dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Pace:
    """What an engine has computed since it was made, and the seconds that each kind of work took. Of its `rows`,
    `shared_rows` began with a prefix that was there already; `shared_tokens`: what that saved, its own prefill paid.
    `thinking_tokens` stand in no answer; `thinking_cut` rows had their thoughts closed by the budget."""

    prefill_tokens: int = 0
    prefill_s: float = 0.0
    decode_tokens: int = 0
    decode_s: float = 0.0
    rows: int = 0
    shared_rows: int = 0
    shared_tokens: int = 0
    thinking_tokens: int = 0
    thinking_cut: int = 0


class EngineError(Exception):
    """A step failed and every live row is lost. `guilty` names the row at fault, where that is known."""

    def __init__(self, problem: str, guilty: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.guilty = guilty


def refusal(row: Row, max_model_len: int) -> str:
    """Why a row can never run; nothing in mlx-lm checks this."""
    if len(row.token_ids) == 0:
        return "empty: the prompt has no tokens"
    if row.max_tokens <= 0:
        return f"bad_request: max_tokens is {row.max_tokens}; at least 1 is needed"
    if len(row.token_ids) + row.max_tokens > max_model_len:
        return (
            f"too_long: {len(row.token_ids)} prompt + {row.max_tokens} output tokens; max_model_len is {max_model_len}"
        )
    return ""


class Engine(Protocol):
    """One model in one thread. All methods are called from the thread that made it."""

    prompt_tokens: int
    generated_tokens: int

    @property
    def facts(self) -> Facts:
        """What the worker reports when it is ready."""
        ...

    @property
    def active(self) -> int:
        """Rows inserted and not yet finished or removed."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Bytes mlx holds now, its pool of freed buffers included."""
        ...

    @property
    def pace(self) -> Pace:
        """Work and seconds so far; a prefix that is shared counts once."""
        ...

    def refuse(self, row: Row) -> str:
        """Why this row can never run ("too_long: ..."), or the empty string."""
        ...

    def admits(self, row: Row, beside: Sequence[Row]) -> Admission:
        """Whether memory allows the row now, later or never, with `beside` about to be inserted together with it."""
        ...

    def shortfall(self) -> str:
        """Why not even one row of max_model_len fits into memory, or the empty string."""
        ...

    def relieve(self) -> None:
        """Gives memory back that can be had again; rows go on as they are."""
        ...

    def insert(self, rows: Sequence[Row]) -> None:
        """Takes rows that were neither refused nor held back. Raises EngineError."""
        ...

    def step(self) -> list[FinishedRow]:
        """One decode step and at most one prefill step. Raises EngineError; then only `rebuild` is allowed."""
        ...

    def remove(self, keys: Sequence[int]) -> None:
        """Takes rows out unfinished; unknown keys are ignored."""
        ...

    def rebuild(self) -> None:
        """Drops every live row and starts with a fresh generator over the same weights."""
        ...

    def follow_up(self, row: Row, answer: Sequence[int], message: str, answer_prefix: str) -> list[int]:
        """Prompt ids of a second turn: the row's prompt, the model's answer, `message` from the user, and the begin of
        the next answer."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """What these tokens say."""
        ...

    def close(self) -> None:
        """Frees the generator; the engine is not used again."""
        ...
