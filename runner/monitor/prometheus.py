"""Samples in Prometheus' text format 0.0.4: a file for a textfile collector, and a page on this machine alone.

The file is replaced whole (a temporary name beside it, then rename), so that a collector never reads half a sample.
The page answers GET /metrics on 127.0.0.1 with the latest sample; a thread of its own waits for the questions. Neither
can fail a run. Called by run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from runner import log
from runner.metrics import METRICS, Sample

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_log = log.get("monitor")


def escaped(value: str) -> str:
    """A label's value: backslash, quote and newline, as the format asks for."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def text_of(sample: Sample, labels: Mapping[str, str]) -> str:
    """Every metric that has a value now. `labels` stand at one line of their own, `runner_run_info`, to be joined."""
    shown = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
    lines = [
        "# HELP runner_run_info the run that the other lines are of",
        "# TYPE runner_run_info gauge",
        f"runner_run_info{{{shown}}} 1",
        "# HELP runner_sample_time_seconds when this was sampled",
        "# TYPE runner_sample_time_seconds gauge",
        f"runner_sample_time_seconds {sample.unix_ms / 1000:.3f}",
    ]
    for metric in METRICS:
        value = getattr(sample, metric.name)
        if value is not None:
            lines += [
                f"# HELP {metric.exposed} {metric.meaning} ({metric.unit})",
                f"# TYPE {metric.exposed} {metric.kind}",
                f"{metric.exposed} {value}",
            ]
    return "\n".join(lines) + "\n"


class Exposition:
    """Both ways of one run. `textfile` None and `port` None: nothing is written and nothing is answered."""

    def __init__(self, textfile: Path | None, port: int | None, labels: Mapping[str, str]) -> None:
        self._textfile = textfile
        self._labels = labels
        self._text = b""
        self._told = False
        self._server = _serve(self, port) if port is not None else None

    @property
    def port(self) -> int | None:
        """Where it answers; with port 0 the system chose it."""
        return self._server.server_address[1] if self._server is not None else None

    def page(self) -> bytes:
        """The latest sample."""
        return self._text

    def update(self, sample: Sample) -> None:
        """A new sample. A disk that refuses is logged once: the figures are in metrics.jsonl too."""
        if self._textfile is None and self._server is None:
            return
        self._text = text_of(sample, self._labels).encode()
        if self._textfile is None:
            return
        temporary = self._textfile.with_name(f".{self._textfile.name}.{os.getpid()}")
        try:
            temporary.write_bytes(self._text)
            temporary.replace(self._textfile)
        except OSError as error:
            if not self._told:
                self._told = True
                _log.warning("exposition.failed", file=str(self._textfile), problem=str(error))

    def close(self) -> None:
        """Ends the page; the file stays with the last sample."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _serve(exposition: Exposition, port: int) -> ThreadingHTTPServer | None:
    class Page(BaseHTTPRequestHandler):
        """GET /metrics, nothing else."""

        timeout = 5

        def do_GET(self) -> None:
            """The latest sample as text."""
            found = self.path.split("?")[0] in ("/metrics", "/")
            body = exposition.page() if found else b"see /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """A scrape is no event of the run."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Page)
    except OSError as error:
        _log.warning("exposition.failed", port=port, problem=str(error))
        return None
    server.daemon_threads = True
    _log.info("exposition.opened", address=f"http://127.0.0.1:{server.server_address[1]}/metrics")
    threading.Thread(target=server.serve_forever, name="metrics-http", daemon=True).start()
    return server
