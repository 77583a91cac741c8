"""An engine without a model: output is a function of the token ids, faults are where the documents say. Never imports
mlx.

For tests of everything around the model. The script is JSON: `{"delay_ms_per_step": 0, "delay_ms_per_row": 0, "steps":
3, "output": "hash"}`. A document is poisoned by its text: `POISON:segv` kills the process, `POISON:hang` never returns,
`POISON:raise` raises, `POISON:leak` keeps 64 MiB more per row, `POISON:exit` leaves with status 9. Only as many
documents as are poisoned suffer; the others get their output.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from runner.engine.protocol import Admission, EngineError, Facts, FinishedRow, Pace, Row, refusal

_LEAK_BYTES = 64 << 20

_REPAIR = "Reply again with the corrected JSON only"
"""How a request for repair is known; the words are runner.structured's."""


@dataclass(frozen=True, slots=True)
class Script:
    """`steps`: decode steps of one row. `output`: "hash" (of the ids), "echo" (the prompt's text), else this text
    itself.
    """

    steps: int = 3
    delay_ms_per_step: float = 0.0
    delay_ms_per_row: float = 0.0
    output: str = "hash"
    repaired_output: str = ""
    """The answer to a repair request; empty = the same as `output`."""

    @classmethod
    def from_json(cls, text: str | None) -> Script:
        """Raises ValueError on an unknown key: a misspelt script would test nothing."""
        data: Any = json.loads(text) if text else {}
        known = {field.name for field in fields(cls)}
        if not isinstance(data, dict) or data.keys() - known:
            raise ValueError(f"script: an object with keys among {sorted(known)} is needed, got {str(text)[:200]}")
        return cls(**data)


@dataclass(slots=True)
class _Live:
    row: Row
    text: str
    steps_left: int
    first_token_ns: int = 0


class ScriptedEngine:
    """See `runner.engine.protocol.Engine`."""

    def __init__(self, model_path: Path, script: Script, max_num_seqs: int, max_model_len: int) -> None:
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(model_path / "tokenizer.json"))
        self._script = script
        self._max_num_seqs = max_num_seqs
        self._max_model_len = max_model_len
        self._live: dict[int, _Live] = {}
        self._leaked: list[bytearray] = []
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self._step_s = 0.0

    @property
    def facts(self) -> Facts:
        """What the worker reports when it is ready."""
        return Facts("scripted", "none", (), self._tokenizer.get_vocab_size(), 0, 0, {"constrain": "unsupported"})

    @property
    def active(self) -> int:
        """Rows inserted and not yet finished or removed."""
        return len(self._live)

    @property
    def memory_bytes(self) -> int:
        """Only what POISON:leak kept."""
        return sum(len(block) for block in self._leaked)

    @property
    def pace(self) -> Pace:
        """Reading a prompt takes no time here."""
        return Pace(self.prompt_tokens, 0.0, self.generated_tokens, self._step_s)

    def refuse(self, row: Row) -> str:
        """Why this row can never run ("too_long: ..."), or the empty string."""
        return refusal(row, self._max_model_len)

    def admits(self, row: Row, beside: Sequence[Row]) -> Admission:
        """By the number of rows alone: there is no memory to run out of."""
        del row
        return "now" if len(self._live) + len(beside) < self._max_num_seqs else "later"

    def shortfall(self) -> str:
        """There is no model to be too large."""
        return ""

    def relieve(self) -> None:
        """What POISON:leak kept is kept."""

    def insert(self, rows: Sequence[Row]) -> None:
        """Takes rows; nothing runs before the next step."""
        for row in rows:
            text = self._tokenizer.decode([int(token) for token in row.token_ids], skip_special_tokens=True)
            self._live[row.key] = _Live(row, text, max(1, min(self._script.steps, row.max_tokens)))
            self.prompt_tokens += len(row.token_ids)

    def step(self) -> list[FinishedRow]:
        """One token for every row; poison acts in its row's first step."""
        script, started = self._script, time.monotonic()
        _sleep_ms(script.delay_ms_per_step + script.delay_ms_per_row * len(self._live))
        finished: list[FinishedRow] = []
        for key, live in list(self._live.items()):
            if not live.first_token_ns:
                self._poison(live)
            now = time.monotonic_ns()
            live.first_token_ns = live.first_token_ns or now
            live.steps_left -= 1
            self.generated_tokens += 1
            if live.steps_left == 0:
                del self._live[key]
                finished.append(self._finish(live, now))
        self._step_s += time.monotonic() - started
        return finished

    def _poison(self, live: _Live) -> None:
        match live.text.partition("POISON:")[2].split(maxsplit=1)[:1]:
            case [word] if word.startswith("segv"):
                os.kill(os.getpid(), signal.SIGSEGV)
            case [word] if word.startswith("hang"):
                while True:
                    time.sleep(3600)
            case [word] if word.startswith("raise"):
                raise EngineError("scripted: POISON:raise", guilty=live.row.key)
            case [word] if word.startswith("blame"):
                raise EngineError("scripted: POISON:blame (nobody named)")
            case [word] if word.startswith("leak"):
                self._leaked.append(bytearray(_LEAK_BYTES))
            case [word] if word.startswith("exit"):
                os._exit(9)
            case _:
                return

    def _finish(self, live: _Live, now: int) -> FinishedRow:
        text = self._output(live)
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        reason: Literal["stop", "length"] = "length" if len(ids) > live.row.max_tokens else "stop"
        kept = ids[: live.row.max_tokens]
        shown = text if reason == "stop" else self._tokenizer.decode(kept, skip_special_tokens=True)
        return FinishedRow(live.row.key, tuple(kept), shown, reason, live.first_token_ns, now)

    def _output(self, live: _Live) -> str:
        if self._script.repaired_output and _REPAIR in live.text:
            return self._script.repaired_output
        if self._script.output == "echo":
            return live.text
        if self._script.output == "hash":
            packed = b"".join(int(token).to_bytes(4, "little") for token in live.row.token_ids)
            return f"scripted {hashlib.sha256(packed).hexdigest()[:16]} {len(live.row.token_ids)}"
        return self._script.output

    def remove(self, keys: Sequence[int]) -> None:
        """Takes rows out unfinished; unknown keys are ignored."""
        for key in keys:
            self._live.pop(key, None)

    def rebuild(self) -> None:
        """Every live row is forgotten."""
        self._live.clear()

    def follow_up(self, row: Row, answer: Sequence[int], message: str, answer_prefix: str) -> list[int]:
        """The same ids with the answer, the message and the begin of the next answer behind."""
        said = self._tokenizer.encode(message + answer_prefix, add_special_tokens=False).ids
        return [*map(int, row.token_ids), *answer, *said]

    def text(self, ids: Sequence[int]) -> str:
        """What these tokens say."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def close(self) -> None:
        """Nothing to free."""


def _sleep_ms(milliseconds: float) -> None:
    if milliseconds > 0:
        time.sleep(milliseconds / 1000)
