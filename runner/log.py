"""The log of a run: events with fields, for people on stderr and as JSON lines in the run's `log.jsonl`.

It is the only importer of structlog and holds the list of event names (`noun.past_verb`); an event outside the list is
a bug and raises. It does NOT count or measure (metrics does) and writes nothing to stdout, which belongs to results.
Called by every room that runs inside a job.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

import structlog

EVENTS: Final[frozenset[str]] = frozenset(
    {
        "run.opened",
        "run.resumed",
        "run.drained",
        "run.finished",
        "run.failed",
        "run.interrupted",
        "run.paused",
        "run.continued",
        "results.exported",
        "report.failed",
        "device.waited",
        "worker.started",
        "worker.became_ready",
        "worker.said",
        "worker.reported",
        "worker.died",
        "worker.restarted",
        "worker.recycled",
        "worker.stopped",
        "worker.killed",
        "worker.gave_up",
        "converter.started",
        "converter.said",
        "converter.died",
        "converter.killed",
        "converter.stopped",
        "lease.expired",
        "channel.broke",
        "storage.failed",
        "setting.applied",
        "alert.fired",
        "alert.resolved",
        "sink.failed",
        "exposition.failed",
        "exposition.opened",
        "timeline.failed",
        "setting.refused",
    }
)
"""Every event a room may log. A test greps the package for uses: none unlisted, none listed and unused."""


class Logger(Protocol):
    """What rooms see of structlog. Each method takes a listed event name and ids or numbers as fields."""

    def debug(self, event: str, **fields: object) -> None:
        """For us: to the file only."""

    def info(self, event: str, **fields: object) -> None:
        """For the operator."""

    def warning(self, event: str, **fields: object) -> None:
        """Degraded and continuing."""

    def error(self, event: str, **fields: object) -> None:
        """A document was lost or the run ends."""


class _LiveStderr(logging.StreamHandler[Any]):
    """Writes to whatever sys.stderr is at that moment: the live progress view replaces it while it draws."""

    @property
    def stream(self) -> IO[str]:
        """sys.stderr of this moment."""
        return cast("IO[str]", sys.stderr)

    @stream.setter
    def stream(self, value: object) -> None:
        """The base class assigns once in its constructor; the value is deliberately not kept."""


class _JsonFile(logging.Handler):
    """Appends whole lines with one write each, so that a kill leaves at most one torn last line."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.problem: OSError | None = None
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def emit(self, record: logging.LogRecord) -> None:
        """One line, one write; after a failed write nothing more is tried."""
        if self.problem is not None:
            return
        try:
            os.write(self._fd, (self.format(record) + "\n").encode("utf-8", "backslashreplace"))
        except OSError as error:
            # Raising out of a log call would surface at random places; the run's loop asks `storage_problem` instead.
            self.problem = error

    def close(self) -> None:
        """Closes the descriptor; further events do not reach the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()


def _attached() -> _JsonFile | None:
    return next((handler for handler in logging.getLogger().handlers if isinstance(handler, _JsonFile)), None)


def _check_event(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    name = event.get("event")
    if name not in EVENTS:
        raise AssertionError(f"log event {name!r} is not in log.EVENTS")
    return event


_SHARED: Final[list[structlog.types.Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _for_people(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """The terminal knows which run it shows; whole dates and ids stay in the file."""
    for key in ("run_id", "room"):
        event.pop(key, None)
    event["timestamp"] = str(event.get("timestamp", ""))[11:19]
    return event


def _formatter(*renderers: structlog.types.Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *reversed(renderers)],
    )


def configure(level: str = "info") -> None:
    """Sets up the stderr side; `attach` adds the file. Standard-library records of other packages join the same two."""
    structlog.configure(
        processors=[_check_event, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    human = _LiveStderr()
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    human.setFormatter(_formatter(structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=22), _for_people))
    human.setLevel(level.upper())
    root = logging.getLogger()
    detach()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _LiveStderr)]
    root.addHandler(human)
    root.setLevel(logging.INFO)
    logging.getLogger("runner").setLevel(logging.DEBUG)


def attach(path: Path, run_id: str) -> None:
    """From here on every event also goes to `path`, with the run's id. OSError when it cannot be opened."""
    detach()
    handler = _JsonFile(path)
    handler.setFormatter(_formatter(structlog.processors.JSONRenderer(ensure_ascii=False)))
    logging.getLogger().addHandler(handler)
    structlog.contextvars.bind_contextvars(run_id=run_id)


def detach() -> None:
    """Closes the file side; events go to stderr alone again."""
    handler = _attached()
    if handler is not None:
        logging.getLogger().removeHandler(handler)
        handler.close()
    structlog.contextvars.clear_contextvars()


def storage_problem() -> OSError | None:
    """The first write to `log.jsonl` that failed, if any: the run's loop turns it into exit 74."""
    handler = _attached()
    return None if handler is None else handler.problem


def get(room: str, **fields: object) -> Logger:
    """The logger of one room; `fields` go with each of its events. Lazy: may be called before `configure`."""
    return cast(Logger, structlog.stdlib.get_logger(f"runner.{room}", room=room, **fields))
