"""When a schedule is due, through clock changes, and its one entry in launchd, systemd and crontab. Nothing is
installed here but
by fakes on PATH; test_real_timers.py asks the real ones."""

import plistlib
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.commands import doctor
from runner.errors import RunFailed, UsageError
from runner.nights import entry, schedule, timers
from runner.nights.cron import Cron

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = schedule.Schedule(
    name="nightly",
    cron="30 2 * * 1-5",
    overrides=("job=qa", "memory.rust=45%"),
    cwd="/",
    created="2026-11-01T00:00:00+00:00",
)


def local(moment: float) -> str:
    return datetime.fromtimestamp(moment, BERLIN).isoformat(" ", "minutes")


def berlin(year: int, month: int, day: int, hour: int) -> float:
    return datetime(year, month, day, hour, tzinfo=BERLIN).timestamp()


def test_the_hour_that_a_clock_skips_comes_at_its_end_and_the_hour_that_comes_twice_once() -> None:
    cron = Cron.read("30 2 * * *", BERLIN)
    spring = cron.after(berlin(2026, 3, 28, 12), 2)
    assert [local(moment) for moment in spring] == ["2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"]
    autumn = cron.after(berlin(2026, 10, 24, 12), 2)
    assert [local(moment) for moment in autumn] == ["2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"]
    assert cron.between(berlin(2026, 10, 24, 12), berlin(2026, 10, 26, 12)) == autumn
    assert cron.between(berlin(2026, 3, 28, 12), berlin(2026, 3, 30, 12)) == spring


def test_times_in_between_are_those_after_and_not_more() -> None:
    cron = Cron.read("0 */6 * * *", UTC)
    start = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert cron.between(start, start + 86400) == cron.after(start, 4)
    assert cron.between(start, start) == []
    assert cron.between(start - 1, start) == [start]


@pytest.mark.parametrize(
    ("text", "rule"),
    [("30 2 * *", "has 4 fields"), ("61 2 * * *", "Bad minute"), ("0 0 31 2 *", "Bad day"), ("0 0 L * *", "L and #"),
    ("0 0 * * 1#2", "L and #")],
)  # fmt: skip
def test_an_expression_that_no_timer_could_keep_is_refused(text: str, rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        Cron.read(text, UTC)


def test_calendars_say_the_same_as_the_expression() -> None:
    cron = Cron.read("30 2 * * 1-5", UTC)
    assert cron.launchd() == [{"Minute": 30, "Hour": 2, "Weekday": day} for day in (1, 2, 3, 4, 5)]
    assert cron.on_calendar() == ["Mon,Tue,Wed,Thu,Fri *-*-* 02:30:00"]
    either = Cron.read("0 4 1 * 7", UTC)  # the first of the month, and every Sunday
    assert either.launchd() == [{"Minute": 0, "Hour": 4, "Day": 1}, {"Minute": 0, "Hour": 4, "Weekday": 0}]
    assert either.on_calendar() == ["*-*-01 04:00:00", "Sun *-*-* 04:00:00"]
    with pytest.raises(UsageError, match="over 500"):
        Cron.read("0-59 0-11 * * *", UTC).launchd()


def entry_of(made: schedule.Schedule = NIGHTLY, **environment: str) -> entry.Entry:
    return entry.make(made, environment)


def test_the_property_list_is_read_back_with_absolute_words_and_no_throttle() -> None:
    ((place, text),) = timers.Launchd(Path("/agents")).shown(entry_of(XDG_CONFIG_HOME="/with space")).items()
    read = plistlib.loads(text.encode())
    assert place == f"/agents/{read['Label']}.plist"
    assert Path(read["ProgramArguments"][0]).is_absolute()
    assert read["ProgramArguments"][-3:] == ["schedule", "run", "nightly"]
    assert read["ProcessType"] == "Interactive"
    assert read["EnvironmentVariables"]["XDG_CONFIG_HOME"] == "/with space"
    assert "StartInterval" not in read, "launchd forgets those that it slept through"


def test_units_quote_what_systemd_would_read_otherwise() -> None:
    shown = timers.Systemd(Path("/units")).shown(entry_of(XDG_CONFIG_HOME='/with "quotes" 50% $HOME'))
    service, timer = shown["/units/runner-nightly.service"], shown["/units/runner-nightly.timer"]
    assert r'Environment="XDG_CONFIG_HOME=/with \"quotes\" 50%% $HOME"' in service
    assert "Persistent=true" in timer
    late = timers.Systemd(Path("/units")).shown(entry_of(replace(NIGHTLY, catch_up=False)))
    assert "Persistent=false" in late["/units/runner-nightly.timer"]


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A crontab that is a file, and can be made to fail."""
    kept, program = tmp_path / "kept", tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'[ -e "{tmp_path}/broken" ] && {{ echo "crontab: no disk" >&2; exit 1; }}\n'
        f'[ "$1" = - ] && exec cat >"{kept}"\n'
        f'cat "{kept}" 2>/dev/null || {{ echo "no crontab for me" >&2; exit 1; }}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "100% mine"))
    return kept


def test_one_entry_is_added_once_replaced_and_removed_and_foreign_lines_keep_every_byte(crontab: Path) -> None:
    foreign = b"# mine\r\nMAILTO=me\n\n5 4 * * * run % with # runner:nightly-not\n\t# runner:other\n"
    crontab.write_bytes(foreign)
    timer = timers.Crontab()
    assert timer.state(entry_of()) == "absent"
    timer.install(entry_of())
    once = crontab.read_bytes()
    timer.install(entry_of())
    assert crontab.read_bytes() == once
    assert once.startswith(foreign)
    assert once.count(b"# runner:nightly\n") == 2, "its times, and once at the start of the machine"
    assert b"100\\% mine" in once, "a bare % would end the command"
    assert timer.state(entry_of()) == "current"
    later = entry_of(replace(NIGHTLY, cron="0 5 * * *", catch_up=False))
    assert timer.state(later) == "differs"
    timer.install(later)
    assert crontab.read_bytes().count(b"# runner:nightly\n") == 1
    assert timer.remove("nightly")
    assert crontab.read_bytes() == foreign
    assert not timer.remove("nightly")


def test_doctor_says_when_an_entry_has_gone(crontab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    made = replace(NIGHTLY, backend="crontab")
    schedule.save(made)
    timers.Crontab().install(entry.make(made))
    assert [finding.state for finding in doctor._schedules()] == ["ok"]
    crontab.write_bytes(b"")
    (finding,) = doctor._schedules()
    assert (finding.state, finding.cure) == ("warning", "runner schedule resume nightly")


def test_a_crontab_that_cannot_be_read_is_never_written(crontab: Path) -> None:
    crontab.write_bytes(b"0 0 * * * precious\n")
    (crontab.parent / "broken").touch()
    with pytest.raises(RunFailed, match="no disk"):
        timers.Crontab().install(entry_of())
    assert crontab.read_bytes() == b"0 0 * * * precious\n"


OURS = st.lists(st.sampled_from(["a # runner:x", "b # runner:x"]))


@given(st.binary(max_size=200).filter(lambda text: b"\0" not in text), OURS)
def test_whatever_stands_in_a_crontab_comes_back_when_ours_goes(foreign: bytes, ours: list[str]) -> None:
    lines = foreign.splitlines(keepends=True)
    foreign = b"".join(line for line in lines if not line.rstrip(b"\r\n").endswith(b" # runner:x"))
    with_ours = timers.with_lines(foreign, "# runner:x", ours)
    back = timers.with_lines(with_ours, "# runner:x", [])
    assert back.removesuffix(b"\n") == foreign.removesuffix(b"\n")
    assert timers.with_lines(with_ours, "# runner:x", ours) == with_ours


def test_what_cannot_be_used_here_is_passed_over_with_its_reason(
    crontab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(crontab.parent / "bin"))
    choice = timers.choose("auto")
    assert choice.timer is not None
    assert choice.timer.name == "crontab"
    assert "not launchd: there is no launchctl" in choice.reason
    with pytest.raises(UsageError, match="there is no launchctl"):
        timers.choose("launchd")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="nothing here can start a schedule"):
        timers.choose("auto")


def test_a_schedule_is_written_for_its_owner_alone_and_read_back_and_says_what_is_wrong_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = schedule.save(NIGHTLY)
    assert schedule.load("nightly") == NIGHTLY
    secret = schedule.write_environment("nightly", {"HF_TOKEN": "a = b", "PATH": "/bin"})
    assert [stat.S_IMODE(place.stat().st_mode) for place in (path, secret, path.parent)] == [0o600, 0o600, 0o700]
    assert schedule.read_environment("nightly") == {"HF_TOKEN": "a = b", "PATH": "/bin"}
    secret.chmod(0o644)
    with pytest.raises(Exception, match="can be read or changed by others"):
        schedule.read_environment("nightly")
    path.chmod(0o620)
    with pytest.raises(UsageError, match="can be changed by others"):
        schedule.load("nightly")
    path.chmod(0o600)
    path.write_text(schedule.text_of(NIGHTLY).replace("retry: 3", "retry: lots\nretries: 3"))
    with pytest.raises(UsageError) as caught:
        schedule.load("nightly")
    assert [word in str([p.text for p in caught.value.problems]) for word in ("retries", "'lots'")] == [True, True]
    with pytest.raises(UsageError, match="begins with a letter"):
        schedule.load("../nightly")
