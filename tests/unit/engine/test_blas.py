"""The BLAS shim computes what CBLAS says for every layout and stride, and a worker's products really go through it."""

import ctypes
import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runner.engine import blas

ROW, COLUMN, PLAIN, TRANSPOSED = 101, 102, 111, 112

linux_only = pytest.mark.skipif(sys.platform == "darwin", reason="platform: macOS has Accelerate, no shim is built")
pytestmark = linux_only


@pytest.fixture(scope="module")
def shim() -> ctypes.CDLL:
    library = blas._find_scipy()
    if isinstance(library, str):
        pytest.skip(f"no shim to test: {library}")
    loaded = ctypes.CDLL(str(blas._SHIM))
    assert loaded.runner_blas_open(bytes(library)) == 0
    return loaded


def sgemm(shim: ctypes.CDLL, order: int, ta: int, tb: int, m: int, n: int, k: int, pad: int, beta: float) -> float:
    """Largest error against numpy in float64, for matrices whose leading dimension is `pad` more than needed."""
    rng = np.random.default_rng(7)

    def stored(rows: int, columns: int, transposed: bool) -> tuple[np.ndarray, np.ndarray, int]:
        shape = (columns, rows) if transposed else (rows, columns)
        lines, length = shape if order == ROW else shape[::-1]
        memory = rng.standard_normal((lines, length + pad), dtype=np.float32)
        inner = memory[:, :length] if order == ROW else memory[:, :length].T
        return memory, inner.T if transposed else inner, length + pad

    a, op_a, lda = stored(m, k, ta == TRANSPOSED)
    b, op_b, ldb = stored(k, n, tb == TRANSPOSED)
    c, view_c, ldc = stored(m, n, False)
    untouched = c.copy()
    expected = 1.5 * (op_a.astype(np.float64) @ op_b.astype(np.float64)) + beta * view_c.astype(np.float64)
    real, pointer = ctypes.c_float, ctypes.c_void_p
    shim.cblas_sgemm(
        order, ta, tb, m, n, k, real(1.5), a.ctypes.data_as(pointer), lda, b.ctypes.data_as(pointer), ldb, real(beta),
        c.ctypes.data_as(pointer), ldc,
    )  # fmt: skip
    if pad:
        assert np.array_equal(c[:, -pad:], untouched[:, -pad:]), "wrote outside the matrix"
    return float(np.abs(view_c - expected).max())


@pytest.mark.parametrize(("m", "n"), [(1, 33), (33, 1), (1, 1), (5, 33)])
def test_every_layout_transposition_and_stride_gives_the_right_product(shim: ctypes.CDLL, m: int, n: int) -> None:
    for order, ta, tb, pad, beta in itertools.product(
        (ROW, COLUMN), (PLAIN, TRANSPOSED), (PLAIN, TRANSPOSED), (0, 3), (0.0, 0.5)
    ):
        assert sgemm(shim, order, ta, tb, m, n, 17, pad, beta) < 1e-4, (order, ta, tb, pad, beta)


def test_random_shapes_give_the_right_product(shim: ctypes.CDLL, seeded: random.Random) -> None:
    for _ in range(50):
        m, n, k = (seeded.choice((1, 1, 2, 9, 64)) for _ in range(3))
        ta, tb = seeded.choice((PLAIN, TRANSPOSED)), seeded.choice((PLAIN, TRANSPOSED))
        assert sgemm(shim, ROW, ta, tb, m, n, k, seeded.choice((0, 5)), 1.0) < 1e-3, (m, n, k, ta, tb)


def test_a_library_without_the_functions_is_refused(shim: ctypes.CDLL) -> None:
    assert shim.runner_blas_open(b"/no/such/library.so") == 1
    assert shim.runner_blas_open(b"libm.so.6") == 2


def ask(choice: str) -> dict[str, object]:
    spec = json.dumps({"blas": choice, "threads": 1, "rows": [8]})
    command = [sys.executable, "-P", "-m", "runner.worker", "measure-blas"]
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        command, input=spec + "\n", text=True, capture_output=True, env={"PYTHONPATH": root, "PATH": ""}
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(answer, dict)
    return answer


def test_the_workers_products_go_through_the_shim_and_are_faster_than_the_wheels_own(shim: ctypes.CDLL) -> None:
    chosen, own = ask("auto"), ask("none")
    assert chosen["blas"] == "scipy-openblas32"
    assert chosen["answers"] == str(blas._SHIM)
    assert own["answers"] == "the BLAS of the mlx wheel"
    faster, slower = chosen["gflops"], own["gflops"]
    assert isinstance(faster, dict)
    assert isinstance(slower, dict)
    assert faster["8"] > 2 * slower["8"]  # measured: 10 to 20 times


def test_a_blas_that_is_not_here_is_named_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_SHIM", Path("/no/shim.so"))
    monkeypatch.setattr(blas, "_find_system", lambda: None)
    monkeypatch.delitem(sys.modules, "mlx.core")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(blas.BlasError, match=r"shim\.so was not built") as caught:
        blas.activate("scipy", 1)
    assert caught.value.cure
    with pytest.raises(blas.BlasError, match="no libopenblas"):
        blas.activate("system", 1)
    nothing = blas.activate("auto", 1)
    assert nothing.name == "netlib"
    assert "not built" in nothing.reason
