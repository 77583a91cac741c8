"""JSON lines to the parent. Takes the real stdout away from libraries that print, so a line is always an event.

Does not log. Used by every verb.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

_stream: list[TextIO] = [sys.stdout]


def take_stdout() -> None:
    """From here on `print`, and whatever C code or a child writes to descriptor 1, goes to stderr."""
    _stream[0] = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr


def emit(event: str, **fields: Any) -> None:
    """One line, written at once."""
    print(json.dumps({"event": event, **fields}, default=str), file=_stream[0], flush=True)
