"""`runner bench shapes`: prompt and generation speed by shape, as mlx_lm.benchmark and llama-bench print them.

Random token ids of one length, so many rows at once, exactly so many tokens generated; ours and mlx-lm's own
`batch_generate` on the same BLAS, each in fresh processes, interleaved. Rows of one length hide what padding and
admission cost: `runner bench engine` shows that. Called by commands/bench.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from runner import models
from runner.bench.contestants import Work, specs
from runner.bench.heat import Heat, run_heat
from runner.config.compose import compose
from runner.errors import EXIT_OK
from runner.machine import detect
from runner.run import settings


@dataclass(frozen=True, slots=True)
class Shapes:
    """`rows` are the batch sizes of one worker; every worker of the profile computes that many at the same time."""

    prompt: int
    generate: int
    rows: tuple[int, ...]
    rounds: int
    seed: int
    overrides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of all processes together, medians; prefill and decode as mlx-lm accounts them."""

    who: str
    processes: int
    threads: int
    rows: int
    prompt_per_s: float
    generated_per_s: float
    seconds: float
    peak_bytes: int


def measure(shapes: Shapes, folder: Path) -> dict[str, Any]:
    """Every shape and contestant once a round, in random order."""
    machine = detect()
    (folder / "nothing.txt").write_text("no document is read here", encoding="ascii")
    words = [f"input={folder}", "job=prompt", "job.template={{ document }}", *shapes.overrides]
    config = compose(words, machine)
    model = models.resolve(settings.model_choice(config.model), models.cache_dir())
    vocabulary = Tokenizer.from_file(str(model.tokenizer_path)).get_vocab_size()
    draw = random.Random(shapes.seed)
    workers, cores = config.cores.workers, machine.physical_cores
    most = max(shapes.rows) * max(workers, 1)
    prompts = folder / "prompts.json"
    ids = [[draw.randrange(vocabulary) for _ in range(shapes.prompt)] for _ in range(most)]
    prompts.write_text(json.dumps(ids), encoding="ascii")

    def heat(who: str, rows: int, processes: int, threads: int) -> Heat:
        shares = [range(number * rows, (number + 1) * rows) for number in range(processes)]
        changed: dict[str, Any] = {"max_num_seqs": rows, "prefill_batch_size": rows, "share_prefix": False}
        work = Work(prompts, shares, shapes.generate)
        return run_heat(specs(config, model, work, who, threads, **changed), _no_text, folder)

    ways = [("runner", workers, config.cores.threads_per_worker), ("stock", 1, cores)]
    cells = [(who, rows, processes, threads) for who, processes, threads in ways for rows in shapes.rows]
    heats: dict[tuple[str, int, int, int], list[Heat]] = {cell: [] for cell in cells}
    for number in range(shapes.rounds):
        for cell in draw.sample(cells, len(cells)):
            print(f"round {number + 1} of {shapes.rounds}: {cell[0]}, {cell[1]} rows", file=sys.stderr, flush=True)
            heats[cell].append(heat(*cell))
    return {
        "machine": {"chip": machine.chip, "cores": cores, "os": machine.os},
        "model": model.name,
        **asdict(shapes),
        "speeds": [asdict(_speed(cell, heats[cell])) for cell in cells],
    }


def _no_text(_: Sequence[int]) -> str:
    return ""


def _speed(cell: tuple[str, int, int, int], heats: Sequence[Heat]) -> Speed:
    who, rows, processes, threads = cell
    return Speed(
        who=who,
        processes=processes,
        threads=threads,
        rows=rows,
        # Times are sums over the processes, tokens too: their ratio is one process's speed.
        prompt_per_s=statistics.median(processes * heat.prompt_tokens / heat.prefill_s for heat in heats),
        generated_per_s=statistics.median(processes * heat.generated_tokens / heat.decode_s for heat in heats),
        seconds=statistics.median(heat.seconds for heat in heats),
        peak_bytes=max(heat.peak_bytes for heat in heats),
    )


def lines(measured: dict[str, Any]) -> list[str]:
    """The page: pp and tg as llama-bench names them."""
    pp, tg = f"pp{measured['prompt']} t/s", f"tg{measured['generate']} t/s"
    out = [
        f"{measured['model']}, {measured['machine']['chip']}, {measured['rounds']} rounds, seed {measured['seed']}",
        "",
        f"{'':8} {'processes x threads':>20} {'rows each':>10} {pp:>12} {tg:>12} {'seconds':>9} {'peak GiB':>9}",
    ]
    for one in measured["speeds"]:
        shape = f"{one['processes']} x {one['threads']}"
        rates = f"{one['prompt_per_s']:12.1f} {one['generated_per_s']:12.1f}"
        rest = f"{one['seconds']:9.1f} {one['peak_bytes'] / 2**30:9.2f}"
        out.append(f"{one['who']:8} {shape:>20} {one['rows']:10} {rates} {rest}")
    return out


def run_shapes_bench(shapes: Shapes, as_json: bool) -> int:
    """Measures and prints."""
    with tempfile.TemporaryDirectory(prefix="runner-bench-") as folder:
        measured = measure(shapes, Path(folder))
    print(json.dumps(measured, indent=2) if as_json else "\n".join(lines(measured)))
    return EXIT_OK
