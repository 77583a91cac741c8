"""May a night begin and when must it end; who is told, once; which failed documents are tried again.

No process but `sh`.
"""

import http.server
import json
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.alerts.sinks import Alert, Sink, deliver, ping, read_sink
from runner.layout import RunFolder
from runner.nights import documents, gates
from runner.nights.accounts import slower
from runner.nights.documents import Failed
from runner.nights.gates import Reading
from runner.nights.notices import Notices, Seen
from runner.nights.schedule import Schedule
from runner.nights.view import Row, Source, View

NIGHTLY = Schedule(
    name="nightly", cron="30 2 * * *", overrides=(), cwd="/", created="2026-11-01T00:00:00+00:00",
    quiet=("08:00-20:00", "23:30-00:30"), require_ac=True, require_cool=True,
)  # fmt: skip
MAINS, COOL, UNKNOWN = Reading(True, ""), Reading(True, ""), Reading(None, "nobody says")


def at(hour: int, minute: int = 0) -> float:
    return datetime(2026, 11, 3, hour, minute, tzinfo=UTC).timestamp()


def test_a_night_begins_outside_of_quiet_hours_on_mains_and_when_it_is_cool() -> None:
    def reason(moment: float, mains: Reading = MAINS, cool: Reading = COOL) -> str:
        return gates.may_begin(NIGHTLY, moment, UTC, mains, cool).reason

    assert reason(at(2, 30)) == ""
    assert reason(at(8)) == "quiet hours until 20:00"
    assert reason(at(20)) == ""
    assert reason(at(23, 45)) == reason(at(0, 15)) == "quiet hours until 00:30"
    assert reason(at(2), Reading(False, "on battery power")) == "on battery power"
    assert reason(at(2), MAINS, Reading(False, "hot")) == "hot"


def test_a_gate_that_the_machine_cannot_keep_is_said_and_holds_nothing_up() -> None:
    verdict = gates.may_begin(NIGHTLY, at(2), UTC, UNKNOWN, UNKNOWN)
    assert verdict.reason == ""
    assert verdict.notes == ("require_ac unsupported here: nobody says", "require_cool unsupported here: nobody says")


def test_a_night_stops_taking_on_work_before_its_budget_or_the_next_quiet_hour_is_over() -> None:
    assert gates.stop_at(NIGHTLY, at(2), UTC) == (at(8) - gates.DRAIN_S, "quiet hours")
    short = replace(NIGHTLY, budget="1h30m")
    assert gates.stop_at(short, at(2), UTC) == (at(3, 30) - gates.DRAIN_S, "the budget of 1h30m")
    assert gates.stop_at(replace(NIGHTLY, quiet=()), at(2), UTC) == (None, "")


def test_linux_says_whether_it_has_mains_and_how_near_a_zone_is_to_its_limit(tmp_path: Path) -> None:
    def put(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")

    assert gates.on_mains("linux", tmp_path / "power").value is None
    put("power/BAT0/type", "Battery")
    assert gates.on_mains("linux", tmp_path / "power") == Reading(False, "on battery power")
    put("power/AC/type", "Mains")
    put("power/AC/online", "1")
    assert gates.on_mains("linux", tmp_path / "power").value is True
    assert gates.is_cool("linux", tmp_path / "heat").value is None
    put("heat/thermal_zone0/temp", "60000")
    put("heat/thermal_zone0/trip_point_0_type", "critical")
    put("heat/thermal_zone0/trip_point_0_temp", "100000")
    assert gates.is_cool("linux", tmp_path / "heat").value is True
    put("heat/thermal_zone0/temp", "97000")
    assert gates.is_cool("linux", tmp_path / "heat") == Reading(
        False, "thermal_zone0 is at 97 degrees, its limit is 100"
    )


# ---- telling ----


class Ears:
    """A sink that remembers, and fails when it is told to."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.deaf = False

    def send(self, sink: Sink, alert: Alert, _environment: Mapping[str, str]) -> str | None:
        if self.deaf:
            return f"{sink}: deaf"
        self.heard.append(f"{sink.target} {alert.id}")
        return None


def tell(path: Path, ears: Ears, night: int, **seen: Seen) -> list[str]:
    notices = Notices(path, "nightly", ("command=a", "command=b", "ping=http://x"), {})
    return notices.tell(seen, night, None, "now", ears.send)[1]  # type: ignore[arg-type]


BAD, GOOD = Seen(True, "failed"), Seen(False, "", "", "recovered")


def test_a_change_is_told_once_to_each_sink_over_all_nights(tmp_path: Path) -> None:
    path, ears = tmp_path / "alerts.json", Ears()
    for night, seen in enumerate([GOOD, BAD, BAD, Seen(None, ""), GOOD, GOOD], 1):
        tell(path, ears, night, failed=seen)
    assert ears.heard == [
        "a nightly-2-failed-firing", "b nightly-2-failed-firing",
        "a nightly-5-failed-resolved", "b nightly-5-failed-resolved",
    ]  # fmt: skip


def test_what_ends_without_a_word_may_fire_again(tmp_path: Path) -> None:
    path, ears = tmp_path / "alerts.json", Ears()
    for night, missed in enumerate([True, False, True], 1):
        tell(path, ears, night, missed=Seen(missed, "missed"))
    assert ears.heard == [f"{sink} nightly-{night}-missed-firing" for night in (1, 3) for sink in "ab"]


def test_a_sink_that_fails_is_tried_by_later_nights_and_the_other_is_not_told_again(tmp_path: Path) -> None:
    path, ears = tmp_path / "alerts.json", Ears()
    ears.deaf = True
    assert tell(path, ears, 1, failed=BAD) == ["command=a: deaf", "command=b: deaf"]
    ears.deaf = False
    assert tell(path, ears, 2, failed=BAD) == []
    assert tell(path, ears, 3, failed=BAD) == []
    assert ears.heard == ["a nightly-1-failed-firing", "b nightly-1-failed-firing"]


def test_a_night_that_dies_between_two_sinks_leaves_only_the_second_untold(tmp_path: Path) -> None:
    path, heard = tmp_path / "alerts.json", Ears()

    class Killed(BaseException): ...

    def dies(sink: Sink, alert: Alert, environment: Mapping[str, str]) -> str | None:
        if sink.target == "b":
            raise Killed
        return heard.send(sink, alert, environment)

    with pytest.raises(Killed):
        Notices(path, "nightly", ("command=a", "command=b"), {}).tell({"failed": BAD}, 1, None, "now", dies)
    tell(path, heard, 2, failed=BAD)
    assert heard.heard == ["a nightly-1-failed-firing", "b nightly-1-failed-firing"]


def test_planted_forgetting_of_what_was_told_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Notices, "_save", lambda self: None)
    path, ears = tmp_path / "alerts.json", Ears()
    for night in (1, 2):
        tell(path, ears, night, failed=BAD)
    assert len(ears.heard) == 4, "twice each"


ALERT = Alert(
    "nightly-1-failed-firing", "nightly", "failed", "firing", "nightly: failed", "why\nit failed", None, "now"
)


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    got: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/down" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", got
        listening.shutdown()
        thread.join()


def test_webhooks_get_json_and_pings_say_whether_it_went_well(server: tuple[str, list[tuple[str, bytes]]]) -> None:
    url, got = server
    assert deliver(read_sink("webhook=${WHERE}/hook"), ALERT, {"WHERE": url}) is None
    assert ping(read_sink(f"ping={url}/abc"), True, "fine", {}) is None
    assert ping(read_sink(f"ping={url}/abc"), False, "not fine", {}) is None
    assert [path for path, _ in got] == ["/hook", "/abc", "/abc/fail"]
    assert json.loads(got[0][1])["kind"] == "failed"
    assert "500" in (deliver(read_sink(f"webhook={url}/down"), ALERT, {}) or "")
    assert "'WHERE' is not set" in (deliver(read_sink("webhook=${WHERE}/x"), ALERT, {}) or "")


def test_commands_and_mail_get_the_alert_and_their_failure_is_a_sentence(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = f"""command=sh -c 'echo "$RUNNER_ALERT_TITLE" >"{out}"; cat >>"{out}"'"""
    assert deliver(read_sink(command), ALERT, {"PATH": "/bin:/usr/bin"}) is None
    first, second = out.read_text().splitlines()
    assert first == "nightly: failed"
    assert json.loads(second)["text"] == "why\nit failed"
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\necho "$@" >"{out}"; cat >>"{out}"\n')
    sendmail.chmod(0o755)
    assert deliver(read_sink("mail=me@example.org"), ALERT, {"PATH": f"{tmp_path}:/bin:/usr/bin"}) is None
    mail = out.read_text()
    assert mail.startswith("-i me@example.org\n")
    assert "Subject: nightly: failed\n" in mail
    problem = deliver(read_sink("command=sh -c 'echo no >&2; exit 3'"), ALERT, {"PATH": "/bin:/usr/bin"})
    assert problem is not None
    assert problem.endswith("exit status 3: no")


def test_apprise_gets_title_and_text_and_its_refusals_are_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in with the three calls of apprise 2.2; the real one was tried by hand."""
    told: list[dict[str, str]] = []

    class Apprise:
        def add(self, url: str) -> bool:
            self.down = "down" in url
            return url.startswith("json://")

        def notify(self, **fields: str) -> bool:
            told.append(fields)
            return not self.down

    monkeypatch.setitem(sys.modules, "apprise", types.SimpleNamespace(Apprise=Apprise))
    assert deliver(read_sink("apprise=json://up"), ALERT, {}) is None
    assert told == [{"title": "nightly: failed", "body": "why\nit failed"}]
    assert "knows no such address" in (deliver(read_sink("apprise=what://x"), ALERT, {}) or "")
    assert "could not deliver" in (deliver(read_sink("apprise=json://down"), ALERT, {}) or "")
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert "apprise is not installed" in (deliver(read_sink("apprise=json://up"), ALERT, {}) or "")


@pytest.mark.parametrize("text", ["pager=x", "webhook=ftp://x", "mail=a b", "command=", "command='open", "ping"])
def test_what_is_no_sink_is_refused_when_it_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="is no sink"):
        read_sink(text)


# ---- speed, and documents that failed ----


def test_slower_is_against_the_median_of_nights_with_the_same_setting() -> None:
    def night(rate: float, setting: str = "a") -> dict[str, object]:
        return {"tokens_per_s": rate, "setting": setting}

    usual = [night(100), night(90), night(110)]
    assert slower(NIGHTLY, night(60), usual).firing is False
    assert slower(NIGHTLY, night(40), usual).firing is True
    assert slower(NIGHTLY, night(40), [*usual[:2], night(100, "b")]).firing is None, "two nights are not usual yet"
    assert slower(replace(NIGHTLY, slower_percent=0), night(1), usual).firing is None
    assert slower(NIGHTLY, None, usual).firing is None


def failing(doc_id: str = "d", status: str = "failed", settings: str = "s", reason: str = "schema: no") -> View:
    source = Source(RunFolder(Path("/run")), 1, True, ("/in",), settings, "")
    return View((source,), {"a": Row(0, 0, 0, doc_id, status, reason, 1)})


def test_a_failed_document_is_tried_again_with_growing_gaps_then_left_alone_until_it_or_the_job_changes() -> None:
    known: dict[str, Failed] = {}
    tried_in = []
    for night in range(1, 30):
        tried = documents.due(known, night)
        tried_in += [night for _ in tried]
        known = documents.after(known, failing(), night, tried, 3)
    assert tried_in == [2, 4, 8]
    assert known["a"].state == "quarantined"
    assert documents.after(known, failing(doc_id="other"), 30, (), 3)["a"].state == "waiting"
    assert documents.after(known, failing(settings="other"), 30, (), 3)["a"].state == "waiting"
    assert documents.after(known, failing(status="ok"), 30, (), 3) == {}


def test_one_that_killed_its_workers_is_left_alone_at_once_and_a_release_tries_it_once_more() -> None:
    known = documents.after({}, failing(status="quarantined"), 1, (), 3)
    assert known["a"].state == "quarantined"
    assert documents.due(known, 99) == []
    released = documents.release(known, ["a"])
    assert documents.due(released, 2) == ["a"]
    assert documents.after(released, failing(status="quarantined"), 2, ["a"], 3)["a"].state == "quarantined"


def test_failures_of_circumstance_are_listed_and_left_to_the_run_which_tries_them_every_night() -> None:
    known = documents.after({}, failing(reason="unreadable: permission denied"), 1, (), 3)
    assert documents.due(known, 50) == []
    assert documents.after(known, failing(reason="unreadable: permission denied"), 50, (), 3)["a"].state == "waiting"


def test_what_is_known_of_failures_comes_back_from_its_file(tmp_path: Path) -> None:
    known = documents.after({}, failing(), 1, (), 3)
    documents.write(tmp_path / "documents.json", known)
    assert documents.read(tmp_path / "documents.json") == known
