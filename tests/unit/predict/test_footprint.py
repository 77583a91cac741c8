"""One formula for a worker's memory: what admission and the start of a run ask of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config.schema import RunnerConfig
from runner.errors import UsageError
from runner.models import ModelFolder
from runner.models.sizes import kv_bytes_per_token, work_bytes
from runner.predict.footprint import PROCESS_BYTES, Footprint, Work
from runner.run import fitting, pools
from tests.configs import make_config

MIB = 1 << 20
SMOLLM = {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 49152, "torch_dtype": "float32",
}  # fmt: skip


def of(kv: int = 46_080, work: Work | None = None) -> Footprint:
    work = work or Work(*work_bytes(SMOLLM, fused_attention=True))
    return Footprint(644 * MIB, 32 * MIB, kv, work, prefill_rows=4, prefill_tokens=512)


def test_what_was_measured_stays_below_what_is_counted() -> None:
    """From outside, 2026-11-23: 4 rows of 1,000 tokens and 4 answers at most 1,037 MiB, of 500 tokens 883 MiB."""
    assert kv_bytes_per_token(SMOLLM) == 46_080
    assert of().needs(4, 1004) > 1037 * MIB
    assert of().needs(4, 504) > 883 * MIB


@given(rows=st.integers(1, 64), longest=st.integers(1, 40_000), prefix=st.integers(0, 9000), kv=st.integers(0, 300_000))
def test_more_never_needs_less_and_the_longest_row_is_the_last_that_fits(
    rows: int, longest: int, prefix: int, kv: int
) -> None:
    one = of(kv, Work(40_000, 12, 400_000))
    needed = one.needs(rows, longest, prefix)
    assert needed <= one.needs(rows + 1, longest, prefix) <= one.needs(rows + 1, longest + 1, prefix + 1)
    most = one.longest_row(needed)
    assert one.needs(1, most) <= needed < one.needs(1, most + 1)
    shared = one.longest_prefix(needed, rows, longest) if kv else 0
    assert one.needs(rows, longest, shared) <= needed


def test_scores_that_are_written_down_count_for_every_pair() -> None:
    _, pair, _ = work_bytes(SMOLLM, fused_attention=False)
    work = Work(0, pair, 0)
    assert of(0, work).needs(4, 8192) - of(0, Work(0, 0, 0)).needs(4, 8192) == 4 * 512 * 8192 * pair > 100 * MIB


def folder(path: Path) -> ModelFolder:
    (path / "config.json").write_text(json.dumps(SMOLLM))
    return ModelFolder(path, "smol", "w", path / "t", "t", 8192, 1, 46_080, 1, {"as_is": 513 * MIB})


def pooled(mib: int, workers: int = 2, row: int | None = None) -> RunnerConfig:
    base = make_config(
        "/out",
        memory={"mlx_bytes": mib * MIB, "mlx_cache_bytes": 64 * MIB},
        cores={"workers": workers},
        tuning={"kernels": "auto"},
    )
    return replace(base, model=replace(base.model, engine="mlx", max_model_len=row))


def test_fewer_workers_start_when_each_could_not_hold_one_full_row(tmp_path: Path) -> None:
    model = folder(tmp_path)
    assert fitting.workers_here(pooled(6000), model) == 2
    assert fitting.fitted_line(pooled(6000), model, 2) == ""
    assert fitting.workers_here(pooled(2000), model) == 1
    line = fitting.fitted_line(pooled(2000), model, 1)
    assert "cores.workers: 2 -> 1" in line
    row = int(line.rpartition("model.max_model_len=")[2].rstrip(")"))
    assert fitting.workers_here(pooled(2000, row=row), model) == 2, "the cure cures"
    assert fitting.workers_here(pooled(2000, row=row + 1), model) == 1


def test_a_pool_too_small_for_one_document_is_refused_with_the_size_that_would_do(tmp_path: Path) -> None:
    model = folder(tmp_path)
    with pytest.raises(UsageError) as refused:
        fitting.workers_here(pooled(1000, workers=1), model)
    (problem,) = refused.value.problems
    assert "memory.mlx is 1000 MiB" in problem.text
    enough = int(problem.cure.split("memory.mlx=")[1].split("MiB")[0])
    assert fitting.workers_here(pooled(enough, workers=1), model) == 1
    assert "max_model_len=" in problem.cure
    assert "mlx_cache" not in problem.cure, "a smaller cache alone would not do"
    with pytest.raises(UsageError) as near:
        fitting.workers_here(pooled(enough - 20, workers=1), model)
    cache = int(near.value.problems[0].cure.split("memory.mlx_cache=")[1].split("MiB")[0])
    tight = pooled(enough - 20, workers=1)
    tight = replace(tight, memory=replace(tight.memory, mlx_cache_bytes=cache * MIB))
    assert fitting.workers_here(tight, model) == 1, "each cure cures"
    assert enough > (513 * MIB + PROCESS_BYTES) >> 20


def test_the_smaller_split_that_would_have_done_holds_what_was_used() -> None:
    memory = make_config("/out").memory
    peaks = {"rust": 30 * MIB, "mlx": 500 * MIB, "ipc": 9 * MIB}
    told = pools.report(memory, peaks, 1 << 30, one_row=600 * MIB)
    assert told["mlx"] == {"limit": memory.mlx_bytes, "peak": 500 * MIB, "unused": memory.mlx_bytes - 500 * MIB}
    assert told["would_have_done"] == {"rust": 33 * MIB, "mlx": 600 * MIB, "ipc": 10 * MIB}
    assert told["system"] == {"limit": memory.system_bytes, "least_available": 1 << 30}
    assert pools.lines(told) == []
    full = pools.report(memory, {**peaks, "ipc": memory.ipc_bytes}, None, 0)
    assert full["would_have_done"]["ipc"] == memory.ipc_bytes, "never more than there was"
    assert pools.lines(full) == [f"memory.ipc was used up to 100% of {memory.ipc_bytes >> 20} MiB"]
