"""llama.cpp over token ids in memory: the peer of `runner bench engine`. Imports nothing of this package.

Runs by path in whichever interpreter has `llama_cpp` (and `gguf`, to write the same weights at another precision), so
it keeps to what Python 3.10 knows. Two verbs on stdin, one JSON line each: `convert` and `generate`; the answer is a
line `{"event": "result", ...}` on stdout, as a worker says it. Continuous batching as llama.cpp's own `parallel`
example does it: the shared prefix is computed once and its cells are shared by all sequences, a step carries one token
of every running sequence and whole prompts of new ones, the sampler is llama.cpp's greedy one. Every row ends at
`max_tokens`.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

_STEP_TOKENS = 512
"""Tokens of one llama_decode: llama.cpp's own default of n_ubatch."""


def convert(spec: dict[str, Any]) -> dict[str, Any]:
    """Writes `target`: the tensors of `source` dequantised, then at `precision` (F32 or Q8_0); vectors stay F32."""
    gguf: Any = import_module("gguf")
    reader = gguf.GGUFReader(spec["source"])
    kinds = gguf.GGMLQuantizationType
    wanted = kinds[spec["precision"]]
    fields = reader.fields
    writer = gguf.GGUFWriter(spec["target"], fields["general.architecture"].contents())
    for name, field in fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype("float32")
        if values.ndim > 1 and wanted != kinds.F32:
            writer.add_tensor(tensor.name, gguf.quants.quantize(values, wanted), raw_dtype=wanted)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {"target": spec["target"]}


def generate(spec: dict[str, Any]) -> dict[str, Any]:
    """Loads, waits at the gate, works; the same fields as `runner.engine.contestant` answers."""
    with suppress(AttributeError, OSError):
        if spec["cpus"]:
            os.sched_setaffinity(0, spec["cpus"])
    with open(spec["prompts"], encoding="ascii") as file:
        everything = json.load(file)
    prompts = [everything[index] for index in spec["documents"]]
    before = time.monotonic()
    engine = _Engine(spec, prompts)
    load_s = time.monotonic() - before
    _wait_at_gate(Path(spec["gate"]))
    cpu, started = _cpu_s(), time.monotonic_ns()
    outputs = engine.work()
    ended = time.monotonic_ns()
    return {
        "outputs": outputs,
        "prompt_tokens": sum(map(len, prompts)),
        "generated_tokens": sum(map(len, outputs)),
        "load_s": load_s,
        "started_ns": started,
        "ended_ns": ended,
        "cpu_s": _cpu_s() - cpu,
        "prefill_s": 0.0,
        "decode_s": 0.0,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "version": version("llama-cpp-python"),
    }


class _Engine:
    """One model, one context of `max_num_seqs` sequences and one more that holds the shared prefix."""

    def __init__(self, spec: dict[str, Any], prompts: Sequence[Sequence[int]]) -> None:
        self._llama: Any = import_module("llama_cpp")
        llama = self._llama
        self._prompts, self._max_tokens = prompts, int(spec["max_tokens"])
        self._rows = int(spec["max_num_seqs"])
        self._prefix = _common_prefix(prompts)
        longest = max(map(len, prompts)) + self._max_tokens - len(self._prefix)
        self._log = llama.llama_log_callback(_say_nothing)  # C keeps a pointer, no reference
        llama.llama_log_set(self._log, None)
        llama.llama_backend_init()
        self._model = llama.llama_model_load_from_file(spec["model"].encode(), llama.llama_model_default_params())
        if not self._model:
            raise SystemExit(f"llama.cpp cannot load {spec['model']}")
        params = llama.llama_context_default_params()
        params.n_ctx = (len(self._prefix) + self._rows * longest + 255) // 256 * 256
        params.n_batch = params.n_ubatch = _STEP_TOKENS
        params.n_seq_max = self._rows + 1
        params.n_threads = params.n_threads_batch = int(spec["threads"])
        params.kv_unified = True  # one pool of cells: a copy of the prefix costs nothing
        self._context = llama.llama_init_from_model(self._model, params)
        if not self._context:
            raise SystemExit("llama.cpp makes no context of this size")
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(_STEP_TOKENS, 0, 1)
        self._greedy = llama.llama_sampler_init_greedy()

    def work(self) -> list[list[int]]:
        """Generated ids by document."""
        llama = self._llama
        outputs: list[list[int]] = [[] for _ in self._prompts]
        self._decode([(token, at, self._rows, False) for at, token in enumerate(self._prefix)])
        waiting = deque(sorted(range(len(self._prompts)), key=lambda index: -len(self._prompts[index])))
        free, running = list(range(self._rows)), dict[int, int]()  # running: seat -> document
        entering: tuple[int, int, int] | None = None  # document, seat, prompt tokens computed
        while waiting or running or entering:
            step = [(outputs[index][-1], self._at(index, outputs), seat, True) for seat, index in running.items()]
            asked = list(running.items())
            while len(step) < _STEP_TOKENS and (entering or (waiting and free)):
                if entering is None:
                    seat = free.pop()
                    llama.llama_memory_seq_cp(self._memory, self._rows, seat, -1, -1)
                    entering = (waiting.popleft(), seat, len(self._prefix))
                index, seat, done = entering
                prompt = self._prompts[index]
                upto = min(len(prompt), done + _STEP_TOKENS - len(step))
                step += [(prompt[at], at, seat, at + 1 == len(prompt)) for at in range(done, upto)]
                entering = (index, seat, upto) if upto < len(prompt) else None
                if entering is None:
                    running[seat] = index
                    asked.append((seat, index))
            places = self._decode(step)
            for (seat, index), place in zip(asked, places, strict=True):
                outputs[index].append(int(llama.llama_sampler_sample(self._greedy, self._context, place)))
                if len(outputs[index]) == self._max_tokens:
                    del running[seat]
                    llama.llama_memory_seq_rm(self._memory, seat, -1, -1)
                    free.append(seat)
        return outputs

    def _at(self, index: int, outputs: list[list[int]]) -> int:
        return len(self._prompts[index]) + len(outputs[index]) - 1

    def _decode(self, tokens: Sequence[tuple[int, int, int, bool]]) -> list[int]:
        """Places of the batch whose logits were asked for, in order."""
        places: list[int] = []
        for start in range(0, len(tokens), _STEP_TOKENS):
            piece = tokens[start : start + _STEP_TOKENS]
            batch = self._batch
            batch.n_tokens = len(piece)
            for place, (token, at, seat, logits) in enumerate(piece):
                batch.token[place] = token
                batch.pos[place] = at
                batch.n_seq_id[place] = 1
                batch.seq_id[place][0] = seat
                batch.logits[place] = logits
                if logits:
                    places.append(place)
            status = self._llama.llama_decode(self._context, batch)
            if status != 0:
                raise SystemExit(f"llama_decode answers {status}")
        return places


def _common_prefix(prompts: Sequence[Sequence[int]]) -> list[int]:
    low, high = min(map(list, prompts)), max(map(list, prompts))  # in lexical order the extremes differ first
    bound = min(map(len, prompts)) - 1
    return low[: next((at for at in range(bound) if low[at] != high[at]), bound)]


def _say_nothing(_level: int, _text: bytes, _data: object) -> None:
    """llama.cpp reports each tensor it loads."""


def _wait_at_gate(gate: Path) -> None:
    """The gate of `runner.worker.process`: a file beside it says that this one has loaded; a shared lock waits."""
    gate.with_name(f"{gate.name}.{os.getpid()}").touch()
    with gate.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    asked = json.loads(sys.stdin.readline())
    answer = {"convert": convert, "generate": generate}[asked["do"]](asked)
    print(json.dumps({"event": "result", **answer}), flush=True)
