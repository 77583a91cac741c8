"""The live view on a real terminal (a pty read by pyte): what it looks like, and that the terminal is given back."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest

DRIVER = Path(__file__).with_name("view_driver.py")
ROOT = Path(__file__).parents[3]
LFLAG, RAW = 3, termios.ICANON | termios.ECHO
PATIENCE_S = 30.0


class Terminal:
    """A process in a terminal of its own: `screen` is what a person sees, `sent` the bytes that came."""

    def __init__(self, columns: int, **environment: str) -> None:
        self.screen = pyte.Screen(columns, 30)
        self._stream = pyte.ByteStream(self.screen)
        self.sent, self.said = b"", b""
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self._pipe, write = os.pipe()
        plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            # A session of its own with the pty as controlling terminal, as a shell gives it.
            [sys.executable, "-c", _BECOME, str(self.slave), sys.executable, str(DRIVER), str(write)],
            env={**plain, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
            stdin=self.slave, stdout=self.slave, stderr=self.slave, pass_fds=[write, self.slave],
        )  # fmt: skip
        os.close(write)
        self.until(lambda: b"\n" in self.said)
        self.pid = int(re.findall(rb"\d+", self.said)[0])

    def until(self, holds: Callable[[], bool]) -> None:
        """Reads until something is so."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, self.screen.display
            for fd in select.select([self.master, self._pipe], [], [], 0.05)[0]:
                data = os.read(fd, 65536)
                if fd == self.master:
                    self.sent += data
                    self._stream.feed(data)
                else:
                    self.said += data

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    @property
    def raw(self) -> bool:
        """Whether single keys are read without an echo."""
        return termios.tcgetattr(self.slave)[LFLAG] & RAW == 0

    @property
    def stopped(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def given_back(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before and not self.screen.cursor.hidden

    def close(self) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait()
        for fd in (self.master, self.slave, self._pipe):
            os.close(fd)


_BECOME = """
import fcntl, os, signal, sys, termios
os.setsid()
terminal = int(sys.argv[1])
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[2], sys.argv[2:])
os.write(int(sys.argv[4]), b"%d\\n" % child)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
"""A shell's part: without one the kernel does not stop a process on SIGTSTP."""


@pytest.fixture
def terminal():
    opened: list[Terminal] = []

    def open_one(columns: int = 80, **environment: str) -> Terminal:
        opened.append(Terminal(columns, **environment))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: reads /proc")
@pytest.mark.parametrize("columns", [80, 140])
def test_the_view_fits_and_hostile_names_move_nothing(terminal: Callable[..., Terminal], columns: int) -> None:
    shown = terminal(columns)
    shown.until(lambda: "critical: disk" in shown.text() and b"q" not in shown.said and shown.said.count(b".") > 30)
    text = shown.text()
    for words in (
        "summarize with qwen3-30b-a3b",
        "documents",
        "speed",
        "stage",
        "p pause or go on",
        "in␛[2Jbox/⟨U+202E⟩fdp.exe",
    ):
        assert words in text
    assert text.index("summarize with") < text.index("documents") < text.index("p pause")
    # Drawn over itself each time: one title, and a last column that stays free.
    assert text.count("summarize with") == 1
    assert all(line[-1] == " " for line in shown.screen.display)
    shown.press("q")
    shown.until(lambda: shown.process.poll() is not None)
    assert shown.process.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="platform: reads /proc")
def test_keys_are_heard_without_echo_and_the_terminal_is_given_back_at_the_end_and_after_a_bug(
    terminal: Callable[..., Terminal],
) -> None:
    for last, code in (("q", 0), ("x", 1)):
        shown = terminal()
        shown.until(lambda shown=shown: shown.raw and shown.screen.cursor.hidden)
        shown.press("pd")
        shown.until(lambda shown=shown: b"p" in shown.said and b"d" in shown.said)
        shown.press(last)
        shown.until(lambda shown=shown: shown.process.poll() is not None)
        shown.until(lambda shown=shown: not shown.screen.cursor.hidden)
        assert shown.process.returncode == code
        assert shown.given_back()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: reads /proc")
def test_a_stopped_view_gives_the_terminal_back_and_takes_it_again(terminal: Callable[..., Terminal]) -> None:
    shown = terminal()
    shown.until(lambda: shown.raw and shown.screen.cursor.hidden)
    os.kill(shown.pid, signal.SIGTSTP)
    shown.until(lambda: shown.stopped and not shown.screen.cursor.hidden)
    assert shown.given_back()
    os.kill(shown.pid, signal.SIGCONT)
    shown.until(lambda: shown.raw and shown.screen.cursor.hidden)
    os.kill(shown.pid, signal.SIGSTOP)
    shown.until(lambda: shown.stopped)
    os.kill(shown.pid, signal.SIGCONT)
    shown.press("p")
    shown.until(lambda: b"p" in shown.said)
    shown.press("q")
    shown.until(lambda: shown.process.poll() is not None and not shown.screen.cursor.hidden)
    assert shown.given_back()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: reads /proc")
def test_no_color_means_no_colour_and_a_dumb_terminal_gets_plain_lines(terminal: Callable[..., Terminal]) -> None:
    colours = re.compile(rb"\x1b\[[0-9;]*(?:3[0-7]|4[0-7]|9[0-7])m")
    coloured, grey, dumb = terminal(), terminal(NO_COLOR="1"), terminal(TERM="dumb")
    for shown in (coloured, grey):
        shown.until(lambda shown=shown: "critical: disk" in shown.text())
    assert colours.search(coloured.sent)
    assert not colours.search(grey.sent)
    dumb.until(lambda: "documents (1 failed)" in dumb.text().replace("\n", ""))
    assert b"\x1b" not in dumb.sent
    assert not dumb.raw
