"""The real ones: a cron daemon runs the installed entry in its own environment, systemd-analyze reads the units.

The crontab of the user who runs the tests gets one entry more, for a minute; its other lines are compared byte for
byte.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.nights import entry, history, schedule, timers
from tests.end_to_end.conftest import ROOT, scripted


def add(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    corpus = home / "letters"
    corpus.mkdir()
    (corpus / "a.txt").write_text("The harbour office opens at eight.\n")
    command = [sys.executable, "-P", "-m", "runner", "schedule", "add", "test-of-runner", *words]
    return subprocess.run(
        [*command, *scripted(f"input={corpus}")], cwd=home, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def cron() -> Iterator[None]:
    """A daemon: the one that runs, or one of our own while the test does."""
    program = shutil.which("cron", path="/usr/sbin:/usr/bin:/sbin") or shutil.which("crond", path="/usr/sbin:/usr/bin")
    if program is None or shutil.which("crontab") is None:
        pytest.skip("cron is not installed" if sys.platform == "linux" else "platform: no cron daemon here")
    if os.getuid() != 0:
        pytest.skip("a cron daemon of the test's own needs root")
    process = subprocess.Popen([program, "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield
    if process.poll() is None:
        process.terminate()
    process.wait(10)


@pytest.mark.usefixtures("cron")
def test_a_real_cron_daemon_runs_the_entry_once_with_its_own_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    before = subprocess.run(["crontab", "-l"], capture_output=True).stdout
    monkeypatch.setenv("ONLY_IN_THE_SHELL", "1")
    try:
        added = add(home, "--cron", "* * * * *", "--backend", "crontab", "--let-sleep")
        assert added.returncode == 0, added.stderr
        during = subprocess.run(["crontab", "-l"], capture_output=True).stdout
        assert during.startswith(before)
        log = history.History(
            home / "50% of me" / "state" / "runner" / "schedules" / "test-of-runner" / "history.jsonl"
        )
        until = time.monotonic() + 150
        while not history.ended_nights(log.events()):  # cron looks once a minute
            assert time.monotonic() < until, log.path.with_name("entry.log").read_text()
            time.sleep(0.2)
    finally:
        timers.Crontab().remove("test-of-runner")
    assert subprocess.run(["crontab", "-l"], capture_output=True).stdout == before
    (night,) = history.ended_nights(log.events())
    assert (night["outcome"], night["counts"]["ok"]) == ("ok", 1)
    assert "night 1: ok" in log.path.with_name("entry.log").read_text()
    told = schedule.read_environment("test-of-runner")
    assert "ONLY_IN_THE_SHELL" not in told
    assert told["XDG_STATE_HOME"] == str(home / "50% of me" / "state")


def test_systemd_reads_the_units_without_a_complaint(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("platform: no systemd-analyze")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    made = schedule.Schedule("nightly", "30 2 1 * 1-5", (), "/", "2026-11-01T00:00:00+00:00")
    shown = timers.Systemd(home).shown(entry.make(made))
    for place, text in shown.items():
        Path(place).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--user", *shown], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "runner-nightly" in line]
    assert (done.returncode, ours) == (0, []), done.stderr
    for line in re.findall(r"OnCalendar=(.*)", "".join(shown.values())):
        assert subprocess.run(["systemd-analyze", "calendar", line], capture_output=True).returncode == 0
    timer = home / "runner-nightly.timer"
    timer.write_text(timer.read_text().replace("OnCalendar=", "OnCalendar=every "))
    planted = subprocess.run(["systemd-analyze", "verify", "--user", str(timer)], capture_output=True, text=True)
    assert "runner-nightly" in planted.stderr, "a line that systemd does not know is seen"
