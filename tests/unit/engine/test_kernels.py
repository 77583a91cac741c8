"""Our kernels in place of mlx's operations: they are really reached, agree, and leave to mlx what they do not know."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.engine import kernels
from runner.models import ModelFolder
from tests.unit.engine.test_golden import requests

ROOT = Path(__file__).resolve().parents[3]
ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="platform: the kernels are for Linux")


def computed(choice: str, folder: Path, *spec: str) -> tuple[dict[str, Any], dict[str, Any]]:
    file = folder / f"{choice}.npz"
    command = [sys.executable, "-P", str(Path(__file__).with_name("kernel_ops.py")), choice, str(file), *spec]
    # A library built with a sanitizer (tests/sanitize_kernels.sh) needs its runtime in the child too.
    preloaded = {name: os.environ[name] for name in ("LD_PRELOAD", "ASAN_OPTIONS") if name in os.environ}
    env = {"PYTHONPATH": str(ROOT), "PATH": "", **preloaded}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    with np.load(file) as arrays:
        return dict(arrays), json.loads(done.stdout)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("kernels")
    return {choice: computed(choice, folder) for choice in ("auto", "off")}


@ONLY_LINUX
def test_every_operation_agrees_with_mlxs_own(both: Any) -> None:
    ours, plain = both["auto"][0], both["off"][0]
    assert ours.keys() == plain.keys()
    for name, exact in plain.items():
        assert ours[name].shape == exact.shape, name
        # 900 radians are known to 6e-5 in float32: two ways of computing an angle differ by about that.
        bound = 5e-5 if name.startswith("rope") else 5e-6
        np.testing.assert_allclose(ours[name], exact, rtol=bound, atol=bound, err_msg=name)


@ONLY_LINUX
def test_the_linker_really_finds_ours_and_nothing_when_they_are_off(both: Any) -> None:
    ours, plain = both["auto"][1], both["off"][1]
    assert ours["kernels"] == "on"
    assert ours["kernels_made"] > 30
    assert plain == {"kernels": "off", "kernels_reason": "kernels=off", "kernels_made": 0}


@ONLY_LINUX
def test_rounding_is_not_the_same_to_the_last_bit_so_the_two_were_computed_apart(both: Any) -> None:
    """Planted: a library that hands everything on to mlx would pass the first test, and fails here."""
    ours, plain = both["auto"][0], both["off"][0]
    differing = [name for name in ours if ours[name].tobytes() != plain[name].tobytes()]
    assert any(name.startswith("attention") for name in differing)
    assert any(name.startswith("swiglu") for name in differing)
    same = ("sigmoid in half precision", "logsumexp of another axis", "rms_norm without weight")
    assert not [name for name in same if name in differing], "what a kernel does not know is mlx's"


LANES = [
    pytest.param((4, 8, 20, 60), id="slice"),
    pytest.param((200, 12, 10, 60), id="all", marks=(pytest.mark.torture, pytest.mark.timeout(3600))),
]
"""Documents, generated tokens, least and most tokens of a document."""


@ONLY_LINUX
@pytest.mark.model
@pytest.mark.parametrize("lane", LANES)
def test_a_models_logits_stay_within_a_thousandth_and_greedy_answers_are_the_same(
    embedded: ModelFolder, lane: tuple[int, int, int, int], tmp_path: Path
) -> None:
    count, max_tokens, least, most = lane
    rows = requests(embedded, count, max_tokens, least, most)
    prompts = [list(row.token_ids) for row in rows]
    spec = json.dumps({"model": str(embedded.path), "prompts": prompts, "max_tokens": max_tokens})
    (ours, told), (plain, _) = computed("auto", tmp_path, spec), computed("off", tmp_path, spec)
    assert told["kernels"] == "on"
    furthest = max(float(np.abs(ours[f"logits {n}"] - plain[f"logits {n}"]).max()) for n in range(count))
    same = sum(np.array_equal(ours[f"answer {n}"], plain[f"answer {n}"]) for n in range(count))
    print(f"{count} documents: logits differ by at most {furthest:.1e}, {same} greedy answers are the same")
    assert 0 < furthest < 1e-3
    assert same >= 0.99 * count


def test_a_library_for_another_mlx_is_left_alone_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        assert kernels.activate("auto").state == "unsupported"
        return
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    monkeypatch.setattr(kernels.importlib.metadata, "version", lambda _: "9.9.9")
    active = kernels.activate("auto")
    assert active.state == "unsupported"
    assert "built for mlx 0.32" in active.reason
    assert "installed is 9.9.9" in active.reason
    monkeypatch.setattr(kernels, "_LIBRARY", Path("/no/library.so"))
    assert kernels.activate("auto") == kernels.ActiveKernels("unsupported", "library.so was not built")
    assert kernels.activate("off").state == "off"
    assert kernels.report(active) == {"kernels": "unsupported", "kernels_reason": active.reason, "kernels_made": 0}


def test_kernels_that_no_operation_reaches_are_not_called_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "made", lambda: 0)
    told = kernels.report(kernels.ActiveKernels("on", "all of them"))
    assert told["kernels"] == "unsupported"
    assert "no operation of this model" in str(told["kernels_reason"])
