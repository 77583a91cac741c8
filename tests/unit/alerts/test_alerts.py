"""Alerts of a run: what is written and shown, and that no sink ever fails or delays it."""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from runner import log
from runner.alerts import watching
from runner.alerts.sinks import Alert, Sink, deliver
from runner.alerts.watching import Alerts, chosen
from runner.config.monitor import AlertRule, AlertsConfig
from tests.samples import make_sample

RULES = {
    "failing": AlertRule("failed", "above", 0, None, 0.0, "warning"),
    "disk": AlertRule("disk_free_bytes", "below", 10, None, 0.0, "critical"),
}
CONFIG = AlertsConfig(RULES, (), None, (), False, 5.0)
GOOD = {"disk_free_bytes": 100}
ALERT = Alert("1", "j", "disk", "firing", "runner j: disk firing (critical)", "t", "f", "now")


def with_sinks(**changes: Any) -> AlertsConfig:
    values: dict[str, Any] = {"rules": RULES, "command": (), "webhook": None, "apprise": (), "desktop": False}
    return AlertsConfig(**{**values, "timeout_s": 5.0, **changes})


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def logged(tmp_path: Path) -> Any:
    log.configure("error")
    log.attach(tmp_path / "log.jsonl", "abc123")
    yield lambda: events(tmp_path / "log.jsonl")
    log.detach()


def test_changes_are_in_the_file_in_the_log_and_in_the_summary(tmp_path: Path, logged: Any) -> None:
    watched = Alerts(CONFIG, tmp_path / "alerts.jsonl", "summarize")
    for second, failed, free in ((1, 0, 100), (2, 1, 5), (3, 1, 100)):
        watched.update(make_sample(elapsed_s=second, failed=failed, disk_free_bytes=free))
    watched.close()
    lines = watching.read(tmp_path / "alerts.jsonl")
    told = [(line["alert"], line["state"]) for line in lines]
    assert told == [("failing", "firing"), ("disk", "firing"), ("disk", "resolved")]
    assert lines[1]["text"] == "disk_free_bytes is 5 bytes (limit: below 10)"
    assert watched.summary() == {"fired": {"failing": 1, "disk": 1}, "firing": ["failing"]}
    assert [event["event"] for event in logged()] == ["alert.fired", "alert.fired", "alert.resolved"]


def test_the_gravest_alert_is_shown_first(tmp_path: Path, logged: Any) -> None:
    watched = Alerts(CONFIG, tmp_path / "alerts.jsonl", "summarize")
    watched.update(make_sample(elapsed_s=1, failed=1, **GOOD))
    watched.update(make_sample(elapsed_s=2, failed=1, disk_free_bytes=1))
    assert [shown[:2] for shown in watched.shown()] == [("critical", "disk"), ("warning", "failing")]


def test_a_sink_that_fails_is_logged_once_and_the_next_sink_still_gets_the_alert(tmp_path: Path, logged: Any) -> None:
    got: list[str] = []

    def tell(sink: Sink, alert: Alert, _environment: Mapping[str, str], _wait_s: float) -> str | None:
        if sink.kind == "webhook":
            raise RuntimeError("the SECRET token")
        if sink.kind == "command":
            return f"{sink}: no route"
        got.append(alert.state)
        return None

    config = with_sinks(command=("tell", "SECRET"), webhook="https://h.example/SECRET", desktop=True)
    watched = Alerts(config, tmp_path / "alerts.jsonl", "j", tell=tell)
    for second, failed in enumerate((1, 0, 1, 0)):
        watched.update(make_sample(elapsed_s=second, failed=failed, **GOOD))
    watched.close()
    assert got == ["firing", "resolved", "firing", "resolved"]
    failures = [(event["sink"], event["problem"]) for event in logged() if event["event"] == "sink.failed"]
    assert failures == [("command tell", "no route"), ("webhook https://h.example", "it raised RuntimeError")]


def test_a_sink_that_hangs_never_holds_up_a_sample(tmp_path: Path, logged: Any) -> None:
    release, entered = threading.Event(), threading.Event()

    def hangs(*_: object) -> None:
        entered.set()
        release.wait(30)

    watched = Alerts(with_sinks(desktop=True), tmp_path / "alerts.jsonl", "j", tell=hangs)
    for second in range(300):  # more than the queue holds
        watched.update(make_sample(elapsed_s=second, failed=second % 2, **GOOD))
    assert entered.wait(10)
    assert any(event["event"] == "sink.failed" and "wait" in event["problem"] for event in logged())
    assert len(watching.read(tmp_path / "alerts.jsonl")) == 299
    release.set()
    watched.close()


def test_a_file_that_cannot_be_written_does_not_fail_the_run(tmp_path: Path, logged: Any) -> None:
    watched = Alerts(CONFIG, tmp_path / "missing" / "alerts.jsonl", "j")
    for second, failed in enumerate((1, 0, 1)):
        watched.update(make_sample(elapsed_s=second, failed=failed, **GOOD))
    assert sum(event["event"] == "sink.failed" for event in logged()) == 1


def test_a_resumed_run_counts_the_alerts_of_its_earlier_lives(tmp_path: Path, logged: Any) -> None:
    path = tmp_path / "alerts.jsonl"
    for _life in range(2):
        watched = Alerts(CONFIG, path, "j", kept=watching.read(path))
        watched.update(make_sample(elapsed_s=1, failed=1, **GOOD))
    assert watched.summary()["fired"] == {"failing": 2}


def told(config: AlertsConfig) -> str | None:
    [sink] = chosen(config)
    return deliver(sink, ALERT, os.environ, config.timeout_s)


def test_a_command_gets_the_alert_on_stdin_and_as_variables_and_no_shell_sees_it(tmp_path: Path) -> None:
    out = tmp_path / "out; touch owned"
    said = "[json.load(sys.stdin), os.environ['RUNNER_ALERT_STATE']]"
    script = f"import json, os, sys; json.dump({said}, open(sys.argv[1], 'w'))"
    assert told(with_sinks(command=(sys.executable, "-c", script, str(out)))) is None
    assert json.loads(out.read_text()) == [asdict(ALERT), "firing"]
    assert not (tmp_path / "owned").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: reads /proc")
def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hangs = ("/bin/sh", "-c", f"sleep 60 & echo $! >{pid}; sleep 60")
    assert "timed out after 0.5 seconds" in (told(with_sinks(command=hangs, timeout_s=0.5)) or "")
    end = time.monotonic() + 10
    while not ended(int(pid.read_text())):
        assert time.monotonic() < end


def ended(pid: int) -> bool:
    """Gone, or a zombie that its new parent has not reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_command_that_fails_says_its_last_words() -> None:
    said = told(with_sinks(command=("/bin/sh", "-c", "echo no route >&2; exit 3")))
    assert (said or "").endswith("exit status 3: no route")


@pytest.fixture
def hook() -> Any:
    """A web hook on this machine: (address, bodies, status to answer)."""
    bodies: list[Any] = []
    status = [204]

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/token/SECRET?key=SECRET", bodies, status
    server.shutdown()
    server.server_close()


def test_a_web_hook_gets_the_alert_and_its_failure_names_no_secret(tmp_path: Path, logged: Any, hook: Any) -> None:
    address, bodies, status = hook
    assert told(with_sinks(webhook=address)) is None
    assert bodies[0]["title"] == "runner j: disk firing (critical)"
    status[0] = 500
    for number, url in enumerate((address, "http://user:SECRET@127.0.0.1:1/SECRET")):
        watched = Alerts(with_sinks(webhook=url), tmp_path / f"alerts{number}.jsonl", "j")
        watched.update(make_sample(elapsed_s=1, failed=1, **GOOD))
        watched.close()
    failures = [event for event in logged() if event["event"] == "sink.failed"]
    assert len(failures) == 2
    assert "500" in failures[0]["problem"]
    assert "SECRET" not in json.dumps(failures)


def test_the_desktop_gets_its_texts_as_arguments(tmp_path: Path) -> None:
    for name in ("notify-send", "osascript"):
        tool = tmp_path / name
        tool.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done >"${0%/*}/said"\n')
        tool.chmod(0o755)
    alert = replace(ALERT, text='"; rm -rf x')
    [sink] = chosen(with_sinks(desktop=True))
    assert deliver(sink, alert, {"PATH": str(tmp_path)}) is None
    assert (tmp_path / "said").read_text().splitlines()[-1] == '"; rm -rf x'
    assert "is not installed" in (deliver(sink, alert, {"PATH": str(tmp_path / "nowhere")}) or "")
