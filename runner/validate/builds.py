"""The build that this one is held against: a folder with a runner in it, a wheel, or a commit of this checkout.

A wheel is unpacked and used with the packages that are installed here. A commit is taken out of the repository; it is
used with the extension of this build when both have the same native/, and refused otherwise: a wheel of it is the way
then. Unpacked builds lie in the user's cache, named by their content. Called by commands/validate.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from runner import trial
from runner.errors import UsageError
from runner.layout import PACKAGE, data_root, user_cache_dir
from runner.store.files import storage

_PARTS = ("runner", "hydra_plugins", "conf", "profiles", "tuning", "examples", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Build:
    """`path`: the folder that `runner` is imported from. `name`: as it is shown."""

    path: Path
    name: str


def own() -> Build:
    """The one that runs now."""
    return Build(PACKAGE.parent, "this build")


def find(text: str) -> Build:
    """UsageError for what is none of the three."""
    path = Path(text).expanduser()
    if path.suffix == ".whl" and path.is_file():
        return Build(_unpacked_wheel(path), path.name)
    if (path / "runner" / "__init__.py").is_file():
        if not list((path / "runner").glob("_native*.so")):
            raise UsageError(f"{path} holds a runner without its extension", "build it there: make setup")
        return Build(path.resolve(), str(path))
    if path.exists():
        raise UsageError(f"{path} is no build: no wheel, and no folder with a runner in it", "give a wheel or a commit")
    return Build(_commit(text), f"commit {text}")


def _unpacked_wheel(path: Path) -> Path:
    with storage(f"cannot read {path}"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    target = user_cache_dir() / "baselines" / digest
    if not target.is_dir():
        try:
            with storage(f"cannot unpack {path}"), zipfile.ZipFile(path) as wheel:
                fresh = _fresh(target)
                wheel.extractall(fresh)  # names are made safe by zipfile
                fresh.rename(target)
        except zipfile.BadZipFile as error:
            raise UsageError(f"{path} is no wheel: {error}", "build it again: make wheel") from error
    return target


def _fresh(target: Path) -> Path:
    fresh = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    return fresh


def _commit(name: str) -> Path:
    root = data_root()
    code, out = trial.output(
        ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"], root
    )
    if code != 0:
        raise UsageError(
            f"'{name}' is no wheel, no folder and no commit of {root}",
            "runner validate dist/....whl, or a commit's hash",
        )
    commit = out.decode().strip()
    target = user_cache_dir() / "baselines" / commit[:16]
    if target.is_dir():
        return target
    if trial.output(["git", "diff", "--quiet", commit, "--", "native"], root)[0] != 0:
        raise UsageError(
            f"commit {name} has another native/ than this checkout: its extension must be built",
            f"git worktree add ../base {name} && make -C ../base wheel && runner validate ../base/dist/*.whl",
        )
    code, out = trial.output(["git", "archive", "--format=tar", commit, *_PARTS], root)
    if code != 0:
        raise UsageError(f"commit {name} cannot be taken out of {root}", "git archive of it shows why")
    with storage(f"cannot unpack {name}"):
        fresh = _fresh(target)
        with tarfile.open(fileobj=io.BytesIO(out)) as archive:
            archive.extractall(fresh, filter="data")
        for extension in PACKAGE.glob("_native*.so"):
            shutil.copy2(extension, fresh / "runner" / extension.name)
        if (PACKAGE / "_data").is_dir():
            shutil.copytree(PACKAGE / "_data", fresh / "runner/_data", dirs_exist_ok=True)
        fresh.rename(target)
    return target
