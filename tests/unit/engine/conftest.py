"""The tiny model (made here, in this process) and the real embedded one (from the cache; the first call fetches it)."""

import sys
from pathlib import Path

import pytest

from runner.engine import blas, kernels

if "mlx.core" not in sys.modules:  # as in a worker; with the mlx wheel's own BLAS these tests take minutes
    blas.activate("auto", 1)
    kernels.activate("auto")

from runner.engine.mlx_lm_adapter import EngineSettings, MlxEngine
from runner.engine.tiny import make_tiny
from runner.models import EMBEDDED, ModelFolder, cache_dir, resolve


def settings(rows: int = 4, **changed: object) -> EngineSettings:
    members: dict[str, object] = {
        "max_num_seqs": rows,
        "prefill_batch_size": 4,
        "prefill_step_size": 64,
        "max_model_len": 1024,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "seed": 1,
        "ignore_eos": False,
        "thinking_tokens": 0,
        "share_prefix": True,
        "cache_limit_bytes": 32 << 20,
        "memory_limit_bytes": 0,
        "wired": "off",
        "grammar": None,
        "answer_prefix": "",
        "threads": 1,
    }
    return EngineSettings(**{**members, **changed})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny(folder)
    return folder


@pytest.fixture
def tiny(tiny_path: Path) -> MlxEngine:
    return MlxEngine(tiny_path, settings())


@pytest.fixture(scope="session")
def embedded() -> ModelFolder:
    return resolve(EMBEDDED, cache_dir())
