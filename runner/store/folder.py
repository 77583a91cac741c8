"""One run's folder: made, found again, identified (run.json), described (config, environment), closed (summary).

run.json says `running` with pid and boot id while the run lives, so that a dead one can be told from a live one. It
does NOT hold progress: the journal does. Called by run; `listing` reads what is written here. Format: docs/results.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from runner.errors import StorageError, UsageError
from runner.layout import RunFolder, latest_link
from runner.store.files import read_json, replace_link, storage, sync_folder, write_bytes, write_json

RUN_SCHEMA_VERSION: Final = 1

Status = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """run.json. `exit_code` and `ended_at` are None while it runs; `incarnation` counts the lives, from 1.
    `cwd` and `overrides` are what a resume composes the same config from."""

    schema_version: int
    run_id: str
    status: Status
    exit_code: int | None
    job: str
    profile: str
    model: str
    argv: tuple[str, ...]
    inputs: tuple[str, ...]
    started_at: str
    ended_at: str | None
    incarnation: int
    pid: int
    boot_id: str
    runner_version: str
    cwd: str
    overrides: tuple[str, ...]
    problem: str = ""


def now_text() -> str:
    """Local time with its offset, to the second: for people; durations come from the journal and the metrics."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def make_outputs(outputs: Path) -> None:
    """The outputs folder with a .gitignore of `*`, so that results never end in somebody's repository. Idempotent."""
    with storage(f"cannot create the output folder {outputs}"):
        outputs.mkdir(parents=True, exist_ok=True)
    ignore = outputs / ".gitignore"
    if not ignore.exists():
        write_bytes(ignore, b"*\n")


def create(outputs: Path, run: RunFolder) -> None:
    """A new folder, 0700, durable by name. StorageError when the place is not writable or the name is taken."""
    make_outputs(outputs)
    root = run.root
    with storage(f"cannot create the run folder {root}"):
        root.parent.mkdir(parents=True, exist_ok=True)
        root.mkdir(mode=0o700)
        run.config.mkdir(mode=0o700)
        sync_folder(root.parent)
        sync_folder(root.parent.parent)


def find(outputs: Path, name: str) -> RunFolder:
    """The run that `name` means: `latest`, a folder's path or name, or its id. UsageError when none or several."""
    if name == "latest":
        link = latest_link(outputs)
        if not link.exists():
            raise UsageError(f"there is no latest run in {outputs}", "start one with `runner`, or give a run's folder")
        target = link.resolve()
        if not (target / "run.json").is_file():
            raise UsageError(f"{target} holds no run.json: it is no run", "`runner ls` lists the runs")
        return RunFolder(target)
    direct = Path(name)
    if (direct / "run.json").is_file():
        return RunFolder(direct.resolve())
    matches = [
        path.parent
        for path in sorted((outputs / "runs").glob("*/*/run.json"))
        if path.parent.name == name or path.parent.name.endswith(f"_{name}")
    ]
    if len(matches) == 1:
        return RunFolder(matches[0].resolve())
    if matches:
        found = ", ".join(str(match) for match in matches)
        raise UsageError(f"{name!r} means {len(matches)} runs: {found}", "give the folder's path")
    raise UsageError(f"no run {name!r} in {outputs}", "`runner ls` lists the runs; `latest` means the last one")


def write_identity(folder: RunFolder, identity: RunIdentity) -> None:
    """run.json, whole."""
    write_json(folder.run_json, asdict(identity))


def read_identity(folder: RunFolder) -> RunIdentity:
    """run.json of an existing run. StorageError when it is damaged, UsageError when a newer runner wrote it."""
    data = read_json(folder.run_json)
    if data.get("schema_version") != RUN_SCHEMA_VERSION:
        raise UsageError(
            f"{folder.run_json} has schema version {data.get('schema_version')!r}, known here: {RUN_SCHEMA_VERSION}",
            "use the runner that wrote it",
        )
    try:
        for key in ("argv", "inputs", "overrides"):
            value = data[key]
            if not isinstance(value, list):
                raise TypeError(f"{key} is not a list")
            data[key] = tuple(str(item) for item in value)
        return RunIdentity(**data)  # type: ignore[arg-type]
    except (TypeError, KeyError) as error:
        raise StorageError(f"{folder.run_json}: {error}", "the file was changed from outside; restore it") from error


def close_identity(
    folder: RunFolder, identity: RunIdentity, status: Status, exit_code: int, problem: str = ""
) -> RunIdentity:
    """Writes how the run ended and returns it."""
    ended = replace(identity, status=status, exit_code=exit_code, ended_at=now_text(), problem=problem)
    write_identity(folder, ended)
    return ended


def write_config(folder: RunFolder, unresolved: str) -> None:
    """The config as composed, interpolations unexpanded so that no secret of the environment reaches a file."""
    write_bytes(folder.config / "config.yaml", unresolved.encode())


def write_environment(folder: RunFolder, facts: Mapping[str, object]) -> None:
    """environment.json: machine, versions, model hashes. The caller passes facts, never os.environ."""
    write_json(folder.environment, dict(facts))


def write_summary(folder: RunFolder, summary: Mapping[str, object]) -> None:
    """summary.json, whole."""
    write_json(folder.summary, dict(summary))


def point_latest(outputs: Path, folder: RunFolder) -> None:
    """`outputs/latest` -> this run."""
    replace_link(latest_link(outputs), folder.root)


def check_still_there(folder: RunFolder, device_inode: tuple[int, int]) -> None:
    """G11: a deleted or replaced folder stops the run. `device_inode` is `inode_of` at the start."""
    if inode_of(folder) != device_inode:
        raise StorageError(
            f"the run folder {folder.root} was removed or replaced while the run used it",
            "start a new run; results committed before are gone with the folder",
        )


def inode_of(folder: RunFolder) -> tuple[int, int] | None:
    """(device, inode) of the folder, None when it is not there."""
    try:
        found = folder.root.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
