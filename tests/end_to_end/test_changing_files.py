"""Files that change while they are being read. strace holds the runner's calls on them, so that the moment is sure."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Shell, scripted

RUN = scripted("input=inputs", "ingest.max_file_bytes=3000000", "job.max_failed=100", "job.max_tokens=100")
LINE = "words that stand in the file from the beginning\n"
SHRINKING, GROWING, SWELLING = "a-shrinking.txt", "b-growing.txt", "c-swelling.txt"
VANISHING, REPLACED = "d-vanishing.txt", "e-replaced.txt"


def runner_below(process: "subprocess.Popen[str]") -> int | None:
    """The process that strace started."""
    try:
        words = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except FileNotFoundError:
        return None
    return int(words[0]) if words else None


def holds(pid: int, path: Path) -> bool:
    """Whether the process has the file open now."""
    try:
        return any(link.readlink() == path for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())
    except FileNotFoundError:
        return False  # a descriptor that was closed, or the process itself, between the listing and the look


def when_open(process: "subprocess.Popen[str]", changes: dict[Path, Callable[[], object]]) -> None:
    """Makes each change while the runner has its file open and is held before it reads."""
    left = dict(changes)
    while left and process.poll() is None:
        pid = runner_below(process)
        for path in [path for path in left if pid is not None and holds(pid, path)]:
            left.pop(path)()
    assert not left, f"never seen open: {[path.name for path in left]}"


@pytest.mark.strace
def test_files_that_change_under_the_reader_have_one_row_each_and_disturb_nobody(shell: Shell) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed (Debian: apt-get install strace)")
    shell.run(*scripted("input=nothing"))  # makes the tiny model, which is no part of this
    inputs = (shell.folder / "inputs").resolve()
    inputs.mkdir()
    paths = {name: inputs / name for name in (SHRINKING, GROWING, SWELLING, VANISHING, REPLACED)}
    for path in paths.values():
        path.write_text(LINE * 2000)
    (inputs / "healthy.txt").write_text("Words of a neighbour.")

    def append(name: str, size: int) -> None:
        with paths[name].open("a") as file:
            file.write("more " * (size // 5))

    def gone() -> None:
        # The first file is open: the walk is through, and the reader is still far from the last two.
        os.truncate(paths[SHRINKING], 20)
        paths[VANISHING].unlink()
        paths[REPLACED].unlink()
        os.mkfifo(paths[REPLACED])

    held = [word for path in paths.values() for word in ("-P", str(path))]
    rules = [
        "-e",
        "trace=openat,read",
        "-e",
        "inject=openat:delay_enter=800000",
        "-e",
        "inject=read:delay_enter=600000",
    ]
    slow = replace(shell, prefix=(strace, "-f", "-o", "/dev/null", *held, *rules))
    process = slow.start(*RUN)
    when_open(process, {
        paths[SHRINKING]: gone,
        paths[GROWING]: lambda: append(GROWING, 100_000),
        paths[SWELLING]: lambda: append(SWELLING, 4_000_000),
    })  # fmt: skip
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    rows = {Path(line["source"]).name: line for line in shell.results()}
    assert len(rows) == len(shell.results()) == 6
    ends = {name: (row["status"], row["reason"]) for name, row in rows.items()}
    assert ends == {
        SHRINKING: ("ok", ""),
        GROWING: ("ok", ""),
        SWELLING: ("failed", "limit max_file_bytes: 3000001 over 3000000"),
        VANISHING: ("failed", "unreadable: no such file or folder"),
        REPLACED: ("failed", "not a regular file: fifo"),
        "healthy.txt": ("ok", ""),
    }, out
    # What was read is what the row is about, and what its id is made of.
    assert LINE[:20] in rows[SHRINKING]["output"]
    assert LINE[:30] not in rows[SHRINKING]["output"]
    assert sum("more more" in part["output"] for part in rows[GROWING]["parts"]) > 0
