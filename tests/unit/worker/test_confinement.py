"""What a confined process cannot do, what it still can, and that each member is what stops it.

Method: confined.py is exec'ed for one deed. A member is switched off by hiding its system call from the child, the way
an old kernel or a strict container does; with every member that guards a deed off, the deed must succeed.
"""

import contextlib
import ctypes
import errno
import json
import os
import platform
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.commands import doctor
from runner.machine import detect
from runner.models import child
from runner.worker import confinement

ROOT = Path(__file__).resolve().parents[3]
GIB = 2**30


def landlock_abi() -> int:
    if not sys.platform.startswith("linux"):
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    return max(int(libc.syscall(ctypes.c_long(444), None, ctypes.c_long(0), ctypes.c_long(1))), 0)


def has_seccomp() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)  # prctl(PR_SET_SECCOMP, filter, NULL): EFAULT where it exists
    return bool(libc.prctl(22, 2, None) < 0 and ctypes.get_errno() == errno.EFAULT)


ABI = landlock_abi()
pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="platform: the rules of Linux"),
    pytest.mark.skipif(ABI < 6, reason=f"platform: this kernel has Landlock ABI {ABI}, the tests need 6"),
    pytest.mark.skipif(not has_seccomp(), reason="platform: no seccomp filter in this kernel or container"),
]

BOTH, FILTER, FILES = ("landlock", "seccomp"), ("seccomp",), ("landlock",)
GUARDS: dict[str, tuple[str, ...]] = {
    "write a new file": BOTH,
    "write an old file by its absolute path": BOTH,
    "cut a file by its path": BOTH,
    "make a folder": BOTH,
    "rename a file": BOTH,
    "remove a file": BOTH,
    "change a file's mode": FILTER,
    "change a file's time": FILTER,
    "read a file outside": FILES,
    "list a folder outside": FILES,
    "make a socket": FILTER,
    "connect to a TCP port": BOTH,
    "listen on a TCP port": BOTH,
    "exec": BOTH,
    "exec from memory": BOTH,
    "fork": FILTER,
    "clone without CLONE_THREAD": FILTER,
    "spawn": BOTH,
    "start a command": BOTH,
    "signal the parent": BOTH,
    "ptrace": FILTER,
    "move a limit": FILTER,
}
"""Deed -> the members each of which alone refuses it."""


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class Cage:
    """One folder outside the readable places, and a way to try a deed."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    def start(self, deed: str, **spec: Any) -> subprocess.CompletedProcess[str]:
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "made").rmdir()
        for name in ("new", "renamed"):
            (self.folder / name).unlink(missing_ok=True)
        (self.folder / "old").write_text("old")
        spec = {"missing": (), "memory_bytes": 4 * GIB, "open_files": 32, "readable": confinement.readable()} | spec
        line = json.dumps({"deed": deed, "folder": str(self.folder), "port": self.port} | spec)
        return subprocess.run(
            [sys.executable, "-P", Path(__file__).with_name("confined.py"), line],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def attempt(self, deed: str, **spec: Any) -> dict[str, Any]:
        done = self.start(deed, **spec)
        if done.returncode == 0 and not done.stdout and deed.startswith("exec"):
            return {"outcome": "done"}  # it became the other program
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture
def cage(tmp_path: Path, listening: int) -> Cage:
    return Cage(tmp_path, listening)


def test_everything_is_in_force_here(cage: Cage) -> None:
    state = cage.attempt("signal itself")["state"]
    assert state == dict.fromkeys(("limits", "filesystem", "system_calls", "network"), "in force")


@pytest.mark.parametrize(("deed", "guards"), GUARDS.items())
def test_a_confined_process_cannot(cage: Cage, deed: str, guards: tuple[str, ...]) -> None:
    assert cage.attempt(deed)["outcome"].startswith("PermissionError"), "confined"
    for other in BOTH:  # one member is enough
        outcome = cage.attempt(deed, missing=[other])["outcome"]
        assert outcome.startswith("PermissionError") == (guards != (other,)), f"without {other}: {outcome}"
    assert cage.attempt(deed, missing=guards)["outcome"] == "done", "with its guards switched off"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="platform: x32 is an ABI of x86-64")
def test_calls_that_the_table_does_not_know_do_not_exist(cage: Cage) -> None:
    assert f"[Errno {errno.ENOSYS}]" in cage.attempt("make a socket by its x32 number")["outcome"]


@pytest.mark.parametrize(
    ("deed", "loose", "error"),
    [
        ("take 8 GiB", {"memory_bytes": 1024 * GIB}, "OSError: MemoryError"),
        ("open many descriptors", {"open_files": 128}, f"OSError: [Errno {errno.EMFILE}]"),
        ("write into an inherited file", {"missing": ["all"]}, f"OSError: [Errno {errno.EFBIG}]"),
    ],
)
def test_a_limit_holds_and_it_is_the_limit(cage: Cage, deed: str, loose: dict[str, Any], error: str) -> None:
    assert cage.attempt(deed, memory_bytes=GIB)["outcome"].startswith(error)
    assert cage.attempt(deed, **loose)["outcome"] == "done"


def test_a_document_that_spins_past_its_seconds_ends_by_sigxcpu(cage: Cage) -> None:
    assert cage.start("spin past allow_cpu").returncode == -signal.SIGXCPU
    assert cage.attempt("spin")["outcome"] == "done"


def test_each_document_gets_its_own_seconds(cage: Cage) -> None:
    assert cage.attempt("two documents")["outcome"] == "done"


@pytest.mark.parametrize("deed", ["use the channel", "start threads", "import late", "signal itself"])
def test_a_confined_process_still_can(cage: Cage, deed: str) -> None:
    assert cage.attempt(deed)["outcome"] == "done"


def test_a_late_import_needs_its_folder_among_the_readable(cage: Cage) -> None:
    assert cage.attempt("import late", readable=[])["outcome"].startswith("PermissionError")


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (["landlock"], {"filesystem": "in part: no writes", "system_calls": "in force", "network": "in force"}),
        (["seccomp"], {"filesystem": "in part", "system_calls": "unsupported: ", "network": "in part: TCP alone"}),
        ([*BOTH], {"filesystem": "unsupported: ", "system_calls": "unsupported: ", "network": "unsupported: "}),
    ],
)
def test_a_member_the_kernel_lacks_is_said_and_the_others_apply(
    cage: Cage, missing: list[str], expected: dict[str, str]
) -> None:
    state = cage.attempt("signal itself", missing=missing)["state"]
    assert state["limits"] == "in force"
    for member, said in expected.items():
        assert state[member].startswith(said), state


@pytest.mark.skipif(os.geteuid() != 0, reason="platform: only root can become somebody else")
@pytest.mark.parametrize("deed", ["fork", "make a socket", "exec"])
def test_an_unprivileged_process_confines_itself_as_well(cage: Cage, deed: str) -> None:
    answer = cage.attempt(deed, uid=65534)
    assert set(answer["state"].values()) == {"in force"}
    assert answer["outcome"].startswith("PermissionError")


def test_it_is_done_once_and_with_one_thread(cage: Cage) -> None:
    assert cage.attempt("confine again")["outcome"].startswith("CoreError: confinement: ")
    assert "2 threads run already" in cage.attempt("signal itself", thread=True)["outcome"]


def test_doctor_tells_what_a_real_child_measured() -> None:
    finding, said = doctor._confinement(detect())
    assert finding.state == "ok", finding
    assert finding.text == (
        "extract workers: limits in force, files: in force, network: in force, system calls: in force"
    )
    assert set(said) == {"limits", "filesystem", "system_calls", "network"}


def test_doctor_calls_a_rule_that_does_not_hold_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"in_force": dict.fromkeys(("limits", "filesystem", "system_calls", "network"), "in force")}
    monkeypatch.setattr(doctor, "ask", lambda *_, **__: {**answer, "escaped": ["network"]})
    finding, _ = doctor._confinement(detect())
    assert finding.state == "broken"
    assert "did not hold: network" in finding.text


def test_the_attempt_names_what_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cage that claims all and does nothing, every member that can be tried is named."""
    (tmp_path / "outside").write_bytes(b"x")
    claims = dict.fromkeys(("limits", "filesystem", "system_calls", "network"), "in force")
    monkeypatch.setattr(confinement._native, "confine", lambda *_: claims)
    spec = {"memory_bytes": 2**20, "open_files": 64, "folder": str(tmp_path)}
    assert confinement.confine(spec)["escaped"] == ["filesystem", "limits", "network", "system_calls"]


def test_the_verb_leaves_no_folder_behind(tmp_path: Path) -> None:
    (tmp_path / "cage").mkdir()
    (tmp_path / "cage" / "outside").write_bytes(b"x")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    spec = {"memory_bytes": 2**31, "open_files": 64, "folder": str(tmp_path / "cage")}
    child.ask("confine", spec, env={"TMPDIR": str(temporary)}, timeout_s=60)
    assert not list(temporary.iterdir())
