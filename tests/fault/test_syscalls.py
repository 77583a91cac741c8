"""SIGKILL at every state-changing system call on the run folder of a 20-document run, and again on the way back.

strace counts injections per thread, and each group of files below is written by one thread: so k = 1, 2, 3, ... until a
life ends unharmed covers every call. The short lane takes some k of each row, the long lane all.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.conftest import LANES
from tests.fault.rig import Rig

MakeRig = Callable[..., Rig]

ROWS: list[tuple[str, str, tuple[str, ...]]] = [
    ("journal", "write,pwrite64,writev", ("journal",)),
    ("journal", "fsync,fdatasync", ("journal",)),
    ("journal", "openat,ftruncate", ("journal",)),
    ("results", "write", ("results.jsonl", "failures.jsonl")),
    (
        "publish",
        "rename,renameat,renameat2",
        ("results.jsonl", "failures.jsonl", "results.jsonl.tmp", "failures.jsonl.tmp"),
    ),
    (
        "store",
        "write,openat",
        (".run.json.tmp", ".summary.json.tmp", ".environment.json.tmp", "config/.config.yaml.tmp"),
    ),
    ("store", "fsync,fdatasync", (".run.json.tmp", ".summary.json.tmp", ".environment.json.tmp")),
    ("store", "rename,renameat,renameat2", (".run.json.tmp", ".summary.json.tmp", ".environment.json.tmp", "run.json")),
    ("folder", "mkdir,mkdirat,unlink,unlinkat,rmdir", ("", "config", "tmp", "lock")),
    ("logs", "write,openat", ("log.jsonl", "metrics.jsonl", "lock")),
]


def inject(strace: str, rig: Rig, calls: str, files: tuple[str, ...], k: int) -> list[str]:
    paths = [argument for name in files for argument in ("-P", str(rig.run / name) if name else str(rig.run))]
    rule = f"inject={calls}:signal=SIGKILL:when={k}"
    return [strace, "-f", "-o", "/dev/null", *paths, "-e", f"trace={calls}", "-e", rule]


def landed(strace: str, rig: Rig, calls: str, files: tuple[str, ...], k: int) -> bool:
    """One life that is killed at its k-th call of this row; False when it ended by itself."""
    code = rig.start(*inject(strace, rig, calls, files, k)).wait(120)
    rig.note_acknowledged()
    assert code in (0, -9, 137), f"exit {code}: {rig.tail()}"
    return code != 0


def recover(rig: Rig) -> None:
    """To the end, and judged. A folder that was not finished being made has no run.json: the next start is fresh."""
    if not (rig.run / "run.json").exists():
        assert rig.acked == {}
        shutil.rmtree(rig.run, ignore_errors=True)
    assert rig.finish() == 0, rig.tail()
    verdict = rig.judge()
    assert not verdict.bad, verdict
    assert "Traceback" not in rig.tail(), rig.tail()


@pytest.mark.strace
@LANES
@pytest.mark.parametrize(
    ("_name", "calls", "files"), ROWS, ids=[f"{name}-{calls.split(',')[0]}" for name, calls, _ in ROWS]
)
def test_a_kill_at_the_kth_call_loses_nothing(
    make_rig: MakeRig, strace: str, _name: str, calls: str, files: tuple[str, ...], long: bool
) -> None:
    rig = make_rig(20, durability="power", script={"output": "echo", "steps": 2, "delay_ms_per_step": 5})
    points = range(1, 400) if long else (2,)
    kills = 0
    for k in points:
        rig.again()
        if not landed(strace, rig, calls, files, k):
            break
        kills += 1
        if (rig.run / "run.json").exists():
            kills += landed(strace, rig, calls, files, max(1, k // 2))
        recover(rig)
    print(f"{kills} kills landed")
    assert kills > 0, "no kill landed: the row tests nothing; do its files still have these names?"


@pytest.mark.strace
def test_planted_writing_in_place_is_seen(make_rig: MakeRig, strace: str) -> None:
    """Without the temporary file a kill at the write leaves an empty run.json, and nothing goes on from there."""
    rig = make_rig(5)
    rule = "inject=write:signal=SIGKILL:when=1"
    prefix = [strace, "-f", "-o", "/dev/null", "-P", str(rig.run / "run.json"), "-e", "trace=write", "-e", rule]
    rig.start(*prefix, plant="write_in_place").wait(60)
    assert (rig.run / "run.json").read_bytes() == b""
    assert rig.finish() != 0


def test_the_rows_name_files_that_a_run_really_has(make_rig: MakeRig) -> None:
    rig = make_rig(3)
    assert rig.finish() == 0, rig.tail()
    present = {path.name for path in rig.run.rglob("*")}
    named = {Path(name).name for _, _, files in ROWS for name in files if name and not name.endswith(".tmp")}
    assert named - {"tmp"} <= present
