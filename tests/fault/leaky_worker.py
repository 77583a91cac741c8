"""The real worker, which takes 64 MiB more at each SIGUSR1: `python leaky_worker.py serve`. With `mixed` its engine
gives rows that end together each other's answers, the bug that a lane must see. Started by driver.py's runs.
"""

import signal
import sys
from dataclasses import replace
from typing import Any

from runner.worker.__main__ import main

LEAK_BYTES = 64 << 20
leaked: list[bytes] = []


def leak(_signal: int, _frame: object) -> None:
    leaked.append(bytes([1]) * LEAK_BYTES)


def mix_rows() -> None:
    from runner.worker import serve

    make = serve._engine

    def mixed(*given: Any) -> Any:
        engine, facts = make(*given)
        step = engine.step

        def swapped() -> list[Any]:
            rows = step()
            return [replace(row, text=rows[place - 1].text) for place, row in enumerate(rows)]

        engine.step = swapped
        return engine, facts

    serve._engine = mixed


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, leak)
    if sys.argv[1] == "mixed":
        mix_rows()
    sys.exit(main(["serve"]))
