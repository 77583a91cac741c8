"""llama.cpp beside the model step: weights of the same values at F32 and Q8_0, and its best setting on this machine.

Asked for by `runner bench engine --llama-python`, on the documents, prompts and token counts of that bench. llama.cpp
runs in the interpreter that has `llama_cpp` and `gguf`; nothing here imports them. Chooses the setting by short trials
and times nothing else: the rounds are the bench's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runner.bench.documents import spread
from runner.bench.heat import Ask, Heat, run_heat
from runner.errors import UsageError
from runner.models import embedded
from runner.models.child import ask_script, say_on_stderr

PRECISIONS: Final = ("F32", "Q8_0")
_CHILD: Final = Path(__file__).with_name("child.py")
_SEQUENCES: Final = (8, 16, 32)
TRIAL_DOCUMENTS: Final = 16


@dataclass(frozen=True, slots=True)
class Setting:
    """`processes` of `threads` threads each; `sequences` run in parallel in each."""

    processes: int
    threads: int
    sequences: int

    @property
    def words(self) -> str:
        """For the page."""
        return f"{self.processes} x {self.threads} threads, {self.sequences} sequences"


def settings_to_try(cores: int) -> list[Setting]:
    """One process on all cores and one a core, each with 8, 16 and 32 sequences."""
    shapes = {(1, cores), (cores, 1)}
    return [Setting(*shape, sequences) for shape in sorted(shapes) for sequences in _SEQUENCES]


class Llama:
    """One bench's llama.cpp."""

    def __init__(self, python: str, model: str, cache: Path, folder: Path) -> None:
        """UsageError for a model whose GGUF is not known, and what the interpreter says when it lacks a package."""
        if model != embedded.NAME:
            raise UsageError(
                f"llama.cpp needs a GGUF file of the same weights, and {model} has none here",
                f"measure with the embedded model ({embedded.NAME}), or leave --llama-python out",
            )
        self._ask: Ask = lambda _, spec: ask_script(python, _CHILD, spec)
        self._folder = folder
        source = embedded.source_spec(cache, say_on_stderr)
        try:
            self._files = {precision: self._convert(str(source["source"]), precision) for precision in PRECISIONS}
        finally:
            embedded.clean_up(source)

    def _convert(self, source: str, precision: str) -> str:
        target = str(self._folder / f"{precision}.gguf")
        self._ask("", {"do": "convert", "source": source, "target": target, "precision": precision})
        return target

    def heat(
        self,
        precision: str,
        setting: Setting,
        prompts: Path,
        ids: Sequence[Sequence[int]],
        documents: Sequence[int],
        max_tokens: int,
        decode: Callable[[Sequence[int]], str],
    ) -> Heat:
        """The documents at these indices of `ids`, dealt to the processes by their length."""
        shares = spread([len(ids[index]) for index in documents], setting.processes)
        specs: list[Mapping[str, Any]] = [
            {
                "do": "generate",
                "model": self._files[precision],
                "prompts": str(prompts),
                "documents": [documents[index] for index in share],
                "max_tokens": max_tokens,
                "max_num_seqs": setting.sequences,
                "threads": setting.threads,
                "cpus": [number] if setting.processes > 1 else [],
            }
            for number, share in enumerate(shares)
        ]
        return run_heat(specs, decode, self._folder, self._ask)

    def best(self, precision: str, cores: int, heat: Callable[[Setting], Heat]) -> Setting:
        """The setting with the most documents a second over a few documents; each trial is said on stderr."""
        tried = {}
        for setting in settings_to_try(cores):
            seen = heat(setting)
            tried[setting] = seen.documents / seen.seconds
            say = f"trial: llama.cpp {precision}, {setting.words}: {60 * tried[setting]:.1f} documents/min"
            print(say, file=sys.stderr, flush=True)
        return max(tried, key=lambda setting: tried[setting])
