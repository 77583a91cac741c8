"""native/kernels/vector.c against NumPy at double precision: odd widths, NaN, infinities, denormals."""

import ctypes
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runner.engine import kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="platform: the kernels are for Linux")

Floats = np.ndarray[Any, np.dtype[np.float32]]
SMALL = 1.2e-38
"""The least normal float32: below it a kernel may answer 0."""


@pytest.fixture(scope="module")
def rows() -> ctypes.CDLL:
    own = kernels._mlx_library()
    assert own is not None
    ctypes.CDLL(str(own))
    library = ctypes.CDLL(str(kernels._LIBRARY))
    library.runner_logsumexp.restype = ctypes.c_float
    return library


def at(array: np.ndarray[Any, Any] | None) -> ctypes.c_void_p | None:
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


def row(least: float = -200.0, most: float = 200.0, longest: int = 70) -> st.SearchStrategy[Floats]:
    finite = st.floats(least, most, width=32)
    return arrays(np.float32, st.integers(1, longest), elements=finite)


def close(found: Floats, exact: np.ndarray[Any, Any], relative: float, factor: float = 1.0) -> None:
    """`factor`: what a value that may be flushed to 0 is multiplied by."""
    exact = np.where(np.abs(exact) > float(np.finfo(np.float32).max), np.copysign(np.inf, exact), exact)
    np.testing.assert_allclose(found.astype(np.float64), exact, rtol=relative, atol=SMALL * 4 * factor)


@settings(deadline=None)
@given(x=row())
def test_sigmoid_is_within_a_few_units_in_the_last_place(rows: ctypes.CDLL, x: Floats) -> None:
    out = np.empty_like(x)
    rows.runner_sigmoid(at(x), at(out), ctypes.c_size_t(x.size))
    with np.errstate(over="ignore"):
        close(out, 1 / (1 + np.exp(-x.astype(np.float64))), 4e-7)


@settings(deadline=None)
@given(x=row(), y=row())
def test_swiglu_is_gate_times_its_sigmoid_times_up(rows: ctypes.CDLL, x: Floats, y: Floats) -> None:
    size = min(x.size, y.size)
    gate, up, out = x[:size].copy(), y[:size].copy(), np.empty(size, np.float32)
    rows.runner_swiglu(at(gate), at(up), at(out), ctypes.c_size_t(size))
    g = gate.astype(np.float64)
    with np.errstate(over="ignore"):
        close(out, g / (1 + np.exp(-g)) * up, 6e-7, factor=200.0 * 200.0)
    rows.runner_swiglu(at(gate), at(up), at(gate), ctypes.c_size_t(size))
    assert gate.tobytes() == out.tobytes(), "in place gives the same"


@settings(deadline=None)
@given(x=row(-1e3, 1e3), seed=st.integers(0, 99), epsilon=st.sampled_from([1e-6, 1e-5]))
def test_rms_norm_divides_by_the_root_of_the_mean_square(
    rows: ctypes.CDLL, x: Floats, seed: int, epsilon: float
) -> None:
    weight, out = np.random.default_rng(seed).normal(size=x.size).astype(np.float32), np.empty_like(x)
    size, one = ctypes.c_size_t(x.size), ctypes.c_size_t(1)
    rows.runner_rms_norm(at(x), at(weight), one, ctypes.c_float(epsilon), at(out), size)
    exact = x / np.sqrt(np.mean(np.square(x.astype(np.float64))) + epsilon) * weight
    np.testing.assert_allclose(out, exact, rtol=2e-6, atol=1e-30)
    rows.runner_rms_norm(at(x), None, one, ctypes.c_float(epsilon), at(out), size)
    np.testing.assert_allclose(out * weight, exact, rtol=2e-6, atol=1e-30)


@settings(deadline=None)
@given(x=row())
def test_logsumexp_never_overflows(rows: ctypes.CDLL, x: Floats) -> None:
    found = rows.runner_logsumexp(at(x), ctypes.c_size_t(x.size))
    wide = x.astype(np.float64)
    most = wide.max()
    np.testing.assert_allclose(found, np.log(np.sum(np.exp(wide - most))) + most, rtol=1e-6, atol=1e-5)


@settings(deadline=None)
@given(x=row(), seed=st.integers(0, 99), kind=st.sampled_from(["none", "keep", "add"]))
def test_softmax_adds_up_to_one_and_leaves_out_what_is_not_kept(
    rows: ctypes.CDLL, x: Floats, seed: int, kind: str
) -> None:
    draw = np.random.default_rng(seed)
    keep = (draw.random(x.size) > 0.3).astype(np.uint8) if kind == "keep" else None
    add = draw.normal(size=x.size).astype(np.float32) if kind == "add" else None
    out = x.copy()
    rows.runner_softmax(at(out), at(keep), at(add), ctypes.c_size_t(x.size))
    scores = x if add is None else x + add
    if keep is not None:
        scores = np.where(keep, scores, np.finfo(np.float32).min).astype(np.float32)
    with np.errstate(over="ignore"):
        parts = np.exp((scores - scores.max()).astype(np.float64))  # the difference is a float32 everywhere
    np.testing.assert_allclose(out, parts / parts.sum(), rtol=3e-6, atol=SMALL * 4)
    assert abs(out.sum(dtype=np.float64) - 1) < 1e-5
    if keep is not None and keep.any():
        assert not out[keep == 0].any()


@settings(deadline=None)
@given(half=st.integers(1, 40), seed=st.integers(0, 99), traditional=st.booleans())
def test_rotation_keeps_the_length_of_every_pair(rows: ctypes.CDLL, half: int, seed: int, traditional: bool) -> None:
    draw = np.random.default_rng(seed)
    x, angle = draw.normal(size=2 * half).astype(np.float32), draw.uniform(-9, 9, half)
    cosines, sines = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    out = np.empty_like(x)
    rows.runner_rotate(at(x), at(cosines), at(sines), at(out), ctypes.c_size_t(2 * half), int(traditional))
    pairs = (x[0::2], x[1::2], out[0::2], out[1::2]) if traditional else (x[:half], x[half:], out[:half], out[half:])
    a, b, turned_a, turned_b = pairs
    np.testing.assert_allclose(turned_a, a * cosines - b * sines, atol=1e-6)
    np.testing.assert_allclose(turned_b, a * sines + b * cosines, atol=1e-6)


SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 88.7, 88.8, -87.3, -87.4, 3e38, -3e38], np.float32
)


@pytest.mark.filterwarnings("ignore:overflow")
def test_nan_infinities_and_denormals_come_out_as_the_formula_has_them(rows: ctypes.CDLL) -> None:
    x, out = np.tile(SPECIAL, 5), np.empty(5 * SPECIAL.size, np.float32)
    rows.runner_sigmoid(at(x), at(out), ctypes.c_size_t(x.size))
    with np.errstate(over="ignore"):
        close(out, 1 / (1 + np.exp(-x.astype(np.float64))), 4e-7)
    for poison, expected in ((np.nan, np.nan), (np.inf, np.inf)):
        line = np.ones(37, np.float32)
        line[20] = poison
        np.testing.assert_equal(rows.runner_logsumexp(at(line), ctypes.c_size_t(37)), expected)
    line = np.ones(37, np.float32)
    line[20] = np.nan
    rows.runner_softmax(at(line), None, None, ctypes.c_size_t(37))
    assert np.isnan(line).all(), "one NaN poisons the row and is not passed over"
    line = np.full(37, -np.inf, np.float32)
    assert rows.runner_logsumexp(at(line), ctypes.c_size_t(37)) == -np.inf
    nobody = np.zeros(37, np.uint8)
    line = np.arange(37, dtype=np.float32)
    rows.runner_softmax(at(line), at(nobody), None, ctypes.c_size_t(37))
    np.testing.assert_allclose(line, 1 / 37, rtol=1e-6)
