"""Entry of the worker process: reads the spec, runs one verb, turns a known problem into an `error` event.

A mistake of ours is not caught: its trace goes to stderr and the exit status is 1.
"""

from __future__ import annotations

import sys

from runner.worker.events import emit, take_stdout
from runner.worker.problem import WorkerError

_VERBS = (
    "serve",
    "convert",
    "describe",
    "render",
    "pull",
    "measure-blas",
    "measure-engine",
    "measure-masks",
    "confine",
)


def main(argv: list[str]) -> int:
    """0 = done or drained, 1 = the verb failed and said why (or a trace is on stderr), 2 = wrong call."""
    if len(argv) != 1 or argv[0] not in _VERBS:
        print(f"usage: python -m runner.worker {{{'|'.join(_VERBS)}}} < spec.json", file=sys.stderr)
        return 2
    take_stdout()
    line = sys.stdin.readline()
    if not line:
        return 1  # the runner ended before it said what to do
    try:
        if argv[0] == "serve":
            from runner.worker.serve import serve  # each verb imports only what it needs: mlx takes seconds

            return int(serve(line))
        from runner.worker.oneshot import answer

        emit("result", **answer(argv[0], line))
        return 0
    except WorkerError as problem:
        emit("error", problem=problem.problem, cure=problem.cure)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
