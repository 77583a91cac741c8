"""How many workers the mlx pool holds, by the formula that each of them admits rows by. Called by run and plan.

Knows no real process: what a worker then really holds it says itself, and it does not begin when one full row would not
fit (engine `shortfall`).
"""

from __future__ import annotations

from runner.config.schema import RunnerConfig
from runner.errors import UsageError
from runner.models import ModelFolder
from runner.models.folder import read_config
from runner.models.sizes import work_bytes
from runner.predict.footprint import PROCESS_BYTES, Footprint, Work
from runner.run.settings import max_model_len, written_tokens


def footprint_of(config: RunnerConfig, model: ModelFolder, workers: int) -> Footprint:
    """Of one of `workers`, before it is there."""
    batching = config.batching
    return Footprint(
        standing_bytes=model.memory_bytes["as_is"] + PROCESS_BYTES,
        cache_bytes=config.memory.mlx_cache_bytes // workers,
        kv_bytes_per_token=model.kv_bytes_per_token,
        work=Work(*work_bytes(read_config(model.path), fused_attention=config.tuning.kernels == "auto")),
        prefill_rows=min(batching.prefill_batch_size, batching.max_num_seqs),
        prefill_tokens=batching.prefill_step_size,
    )


def workers_that_fit(config: RunnerConfig, model: ModelFolder) -> int:
    """How many of `cores.workers` find room for the model and one row of max_model_len in their share; 0 = none."""
    tokens = max_model_len(config, model)
    for workers in range(config.cores.workers, 0, -1):
        if footprint_of(config, model, workers).needs(1, tokens) <= config.memory.mlx_bytes // workers:
            return workers
    return 0


def workers_here(config: RunnerConfig, model: ModelFolder) -> int:
    """`cores.workers`, or fewer. UsageError when the pool is too small for a single one."""
    if config.model.engine == "scripted":
        return config.cores.workers
    fitting = workers_that_fit(config, model)
    if fitting == 0:
        raise UsageError(*too_small(config, model))
    return fitting


def too_small(config: RunnerConfig, model: ModelFolder) -> tuple[str, str]:
    """(problem, cure) of a pool that one document does not fit into."""
    one, pool, tokens = footprint_of(config, model, 1), config.memory.mlx_bytes, max_model_len(config, model)
    needed, most = one.needs(1, tokens), one.longest_row(pool)
    cures = [f"memory.mlx={-(-needed >> 20)}MiB"]
    if (cache := one.cache_bytes - (needed - pool)) >= 16 << 20:
        cures.append(f"memory.mlx_cache={cache >> 20}MiB")
    if most > 2 * written_tokens(config):
        cures.append(f"model.max_model_len={most} (longer documents are cut into more chunks)")
    cures.append("a smaller model or fewer bits")
    problem = (
        f"memory.mlx is {pool >> 20} MiB, {model.name} needs {-(-needed >> 20)} MiB for one document: "
        f"{one.standing_bytes >> 20} for the process with its weights, {one.cache_bytes >> 20} for mlx's cache, "
        f"the rest for a row of {tokens} tokens"
    )
    return problem, ", or ".join(cures)


def fitted_line(config: RunnerConfig, model: ModelFolder, workers: int) -> str:
    """Why there are fewer workers than asked for; empty when there are not, or none at all."""
    wanted = config.cores.workers
    if workers in (0, wanted):
        return ""
    most = footprint_of(config, model, wanted).longest_row(config.memory.mlx_bytes // wanted)
    other = f" or model.max_model_len={most}" if most > 2 * written_tokens(config) else ""
    needed = wanted * footprint_of(config, model, wanted).needs(1, max_model_len(config, model))
    return (
        f"  fitted cores.workers: {wanted} -> {workers} (memory.mlx is {config.memory.mlx_bytes >> 20} MiB; "
        f"{wanted} with memory.mlx={-(-needed >> 20)}MiB{other})"
    )
