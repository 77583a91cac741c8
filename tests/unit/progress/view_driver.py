"""A process that shows the live view until it reads `q`, for tests with a terminal of their own; no run is behind it.

Says on the pipe of its first argument what was pressed. Called by test_terminal.py.
"""

import os
import sys
import time

from runner.progress import Heading, choose
from tests.samples import make_sample


def main() -> None:
    out = int(sys.argv[1])
    progress = choose(Heading("summarize", "qwen3-30b-a3b", "m3max", "abc123"))
    progress.board.failure = ("in\x1b[2Jbox/\u202efdp.exe", "unreadable: \x07")
    progress.board.alerts = [("critical", "disk", "disk_free_bytes is 1 bytes (limit: below 2)")]
    second = 0
    try:
        while True:
            second += 1
            progress.update(
                make_sample(
                    elapsed_s=16.0 * second, inputs=200, ok=second, failed=1, prompt_tokens_known=9000,
                    discovery_done=1, prompt_tokens_done=100 * second, worker_states=("serving",), leased=3,
                    pending_requests=90,
                )
            )  # fmt: skip
            keys = progress.pressed()
            os.write(out, b"." + keys.encode())
            if "x" in keys:
                raise RuntimeError("a bug while the view is up")
            if "q" in keys:
                return
            time.sleep(0.02)
    finally:
        progress.close()


if __name__ == "__main__":
    main()
