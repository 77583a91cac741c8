"""The child of test_confinement: plays an old kernel where asked, confines itself, tries one deed, says what happened.

Not a test. One JSON argument {deed, missing, uid, ...}; one JSON line on stdout: the states and the outcome.
"""

import ctypes
import json
import mmap
import os
import platform
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from runner import _native

SPEC = json.loads(sys.argv[1])
FOLDER = Path(SPEC["folder"])
GIB = 2**30
LANDLOCK_CREATE_RULESET, SECCOMP = 444, {"x86_64": 317, "aarch64": 277}


def take_call_away(number: int) -> None:
    """This system call does not exist from here on, as on an old kernel or in a strict container."""
    lines = ((0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | 38), (0x06, 0, 0, 0x7FFF0000))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, program) == 0, os.strerror(ctypes.get_errno())  # PR_SET_SECCOMP


def call(number: int, *words: int) -> int:
    """A raw system call: libc has no name for it, or a kinder way."""
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, words))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(answer)


def fork(clone: int | None = None) -> None:
    child = os.fork() if clone is None else call(clone, signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def take_memory() -> None:
    try:
        bytes(8 * GIB)  # calloc: the pages are not touched where it succeeds
    except MemoryError as error:
        raise OSError("MemoryError") from error


def move_limit() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    except ValueError as error:  # what Python makes of EPERM
        raise PermissionError(str(error)) from error


def many_descriptors() -> None:
    for _ in range(40):
        os.dup(0)


def inject_keystroke() -> None:
    import fcntl
    import termios

    fcntl.ioctl(MASTER, termios.TIOCSTI, b"x")


def x32_socket() -> None:
    call(0x40000000 | 41, socket.AF_UNIX, socket.SOCK_DGRAM, 0)


def threads_run() -> None:
    seen: list[int] = []
    threads = [threading.Thread(target=seen.append, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [0, 1, 2, 3]


def late_imports() -> None:
    before = set(sys.modules)
    import decimal
    import sqlite3  # an extension module that loads a shared library
    import xml.dom.minidom  # several files

    assert {"sqlite3", "xml.dom.minidom"} <= set(sys.modules) - before
    assert sqlite3.connect(":memory:").execute("select 2").fetchone() == (2,)
    assert decimal.Decimal(2) == 2
    assert xml.dom.minidom.parseString("<a/>").documentElement


def channel_works() -> None:
    """What a worker has inherited: a socket pair, a shared region, an open file."""
    peer.sendall(b"ping")
    poll = select.poll()
    poll.register(mine, select.POLLIN)
    assert poll.poll(1000)
    assert os.read(mine.fileno(), 4) == b"ping"
    os.write(mine.fileno(), b"pong")
    assert peer.recv(4) == b"pong"
    with mmap.mmap(region, 4096) as view:
        view[:5] = b"hello"
    assert os.pread(region, 5, 0) == b"hello"
    assert os.read(file, 3) == b"old"


def signal_to_myself() -> None:
    got = []
    signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR1)
    assert len(got) == 2


DEEDS = {
    "write a new file": lambda: (FOLDER / "new").open("x").close(),
    "write an old file by its absolute path": lambda: (FOLDER / "old").resolve().open("r+").close(),
    "cut a file by its path": lambda: os.truncate(FOLDER / "old", 0),
    "make a folder": lambda: (FOLDER / "made").mkdir(),
    "rename a file": lambda: (FOLDER / "old").rename(FOLDER / "renamed"),
    "remove a file": lambda: (FOLDER / "old").unlink(),
    "change a file's mode": lambda: (FOLDER / "old").chmod(0o777),
    "change a file's time": lambda: os.utime(FOLDER / "old", (0, 0)),
    "read a file outside": lambda: (FOLDER / "old").read_text(),
    "list a folder outside": lambda: list(FOLDER.iterdir()),
    "make a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
    "make a socket by its x32 number": x32_socket,
    "connect to a TCP port": lambda: tcp.connect(("127.0.0.1", SPEC["port"])),
    "listen on a TCP port": lambda: tcp.bind(("127.0.0.1", 0)),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "exec from memory": lambda: os.execve(region, ["true"], {}),
    "fork": fork,
    "clone without CLONE_THREAD": lambda: fork({"x86_64": 56, "aarch64": 220}[platform.machine()]),
    "spawn": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
    "start a command": lambda: subprocess.run(["/bin/true"], check=True),
    "signal the parent": lambda: os.kill(os.getppid(), 0),
    "ptrace": lambda: call({"x86_64": 101, "aarch64": 117}[platform.machine()], 0, 0, 0, 0),
    "move a limit": move_limit,
    "inject a keystroke": inject_keystroke,
    "take 8 GiB": take_memory,
    "open many descriptors": many_descriptors,
    "write into an inherited file": lambda: os.write(log, b"x"),
    "spin": lambda: spin(4),
    "spin past allow_cpu": lambda: (_native.allow_cpu(1), spin(4)),
    "confine again": lambda: _native.confine(GIB, 32, []),
    "use the channel": channel_works,
    "start threads": threads_run,
    "import late": late_imports,
    "signal itself": signal_to_myself,
    "two documents": lambda: [(_native.allow_cpu(1), spin(0.7)) for _ in range(4)],
}

mine, peer = socket.socketpair()
tcp = socket.socket()
MASTER, _slave = os.openpty()
file = os.open(FOLDER / "old", os.O_RDONLY)
log = os.open(FOLDER / "log", os.O_WRONLY | os.O_CREAT)
region = os.memfd_create("region")
os.ftruncate(region, 4096)
if SPEC["deed"] == "exec from memory":
    os.write(region, Path("/bin/true").read_bytes())

signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # what an exec may hand down
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGXCPU})
if SPEC.get("thread"):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
if SPEC.get("uid"):
    os.setgid(SPEC["uid"])
    os.setuid(SPEC["uid"])
if "landlock" in SPEC["missing"]:
    take_call_away(LANDLOCK_CREATE_RULESET)
if "seccomp" in SPEC["missing"]:
    take_call_away(SECCOMP[platform.machine()])

said: dict[str, Any] = {"state": None}
try:
    if "all" not in SPEC["missing"]:
        said["state"] = _native.confine(SPEC["memory_bytes"], SPEC["open_files"], SPEC["readable"])
    DEEDS[SPEC["deed"]]()
    said["outcome"] = "done"
except (OSError, _native.CoreError) as refused:
    said["outcome"] = f"{type(refused).__name__}: {refused}"
print(json.dumps(said), flush=True)
