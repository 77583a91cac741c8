"""What the fault lanes share: the tiny model folder, the lanes, and strace."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fault.rig import ROOT, Rig

LANES = pytest.mark.parametrize(
    "long",
    [
        pytest.param(False, id="short"),
        pytest.param(True, id="long", marks=(pytest.mark.torture, pytest.mark.timeout(7200))),
    ],
)
"""The short lane is part of `make test`, the long one of `make torture`."""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that the scripted engine reads its tokenizer from; made once by an exec'ed worker."""
    from runner.models import ModelChoice, resolve

    return resolve(ModelChoice("tiny"), tmp_path_factory.mktemp("models")).path


@pytest.fixture(scope="session")
def babbling_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model for the real engine whose answers differ from document to document; made by a process of its own."""
    folder = tmp_path_factory.mktemp("babbling")
    make = (
        "import sys, pathlib; from runner.engine.tiny import make_tiny; "
        "make_tiny(pathlib.Path(sys.argv[1]), 2.0, tie_word_embeddings=False)"
    )
    subprocess.run([sys.executable, "-c", make, str(folder)], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    return folder


@pytest.fixture
def make_rig(tmp_path: Path, tiny_model: Path) -> Iterator[Callable[..., Rig]]:
    """`make_rig(documents, poison, **spec)`."""
    made: list[Rig] = []

    def make(documents: int, poison: dict[int, str] | None = None, **spec: Any) -> Rig:
        made.append(Rig(tmp_path / f"rig-{len(made)}", tiny_model, documents, poison, **spec))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
def strace() -> str:
    """The path of strace where it may trace here."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run([str(found), "-o", "/dev/null", "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"strace may not trace here: {probe.stderr.strip()[-200:]}")
    return str(found)
