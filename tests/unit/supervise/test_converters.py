"""Extract workers from the parent's side: real processes (python -c), and a core that writes down how each ended."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from runner import log
from runner.supervise.converters import Converters

READY = 'import sys; sys.stdin.readline(); print(\'{"event":"ready","readers":["none"]}\', flush=True); '
WAIT = "import signal; signal.pause()"


class BookCore:
    """Hands out pipes as if they were regions and sockets."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, int, str]] = []

    def attach_converter(self, seat: int) -> dict[str, int]:
        first, second = os.pipe()
        return {"input_fd": first, "output_fd": second, "control_fd": os.dup(first)}

    def converter_died(self, seat: int, cause: str) -> None:
        self.ended.append(("died", seat, cause))

    def converter_cannot_start(self, seat: int, problem: str) -> None:
        self.ended.append(("cannot start", seat, problem))


class House:
    """Converters whose worker is `code`, and what was heard of them."""

    def __init__(self, *command: str) -> None:
        self.core = BookCore()
        self.ready: list[tuple[int, Mapping[str, Any]]] = []
        self.pids: dict[int, int] = {}
        self.converters = Converters(
            self.core,
            lambda ends: str(ends["control_fd"]),
            {},
            command,
            on_start=self.pids.__setitem__,
            on_ready=lambda seat, fields: self.ready.append((seat, fields)),
        )

    def turn(self, until: Callable[[], bool]) -> None:
        pause = threading.Event()
        for _ in range(2000):
            self.converters.poll()
            if until():
                return
            pause.wait(0.01)
        raise AssertionError(f"the awaited state did not come within 20 s: {self.core.ended}")


MakeHouse = Callable[[str], House]


@pytest.fixture
def house() -> Iterator[MakeHouse]:
    log.configure("critical")
    made: list[House] = []

    def make(code: str) -> House:
        made.append(House(sys.executable, "-c", code))
        return made[-1]

    yield make
    for one in made:
        one.converters.stop()


def test_a_worker_starts_when_it_is_wanted_and_its_death_is_told_with_the_signal(house: MakeHouse) -> None:
    here = house(READY + WAIT)
    assert here.pids == {}
    here.converters.wanted(2)
    here.turn(lambda: bool(here.ready))
    assert here.ready == [(2, {"readers": ["none"]})]
    os.kill(here.pids[2], 11)
    here.turn(lambda: bool(here.core.ended))
    assert here.core.ended == [("died", 2, "signal 11 (SIGSEGV)")]


def test_a_worker_that_is_given_up_is_killed_and_its_death_told_once(house: MakeHouse) -> None:
    here = house(READY + WAIT)
    here.converters.wanted(0)
    here.turn(lambda: bool(here.ready))
    here.converters.given_up(0)
    here.turn(lambda: bool(here.core.ended))
    assert here.core.ended == [("died", 0, "signal 9 (SIGKILL)")]
    here.converters.given_up(0)
    assert len(here.core.ended) == 1, "a second death would be taken for that of the next process"


def test_one_that_dies_before_it_is_ready_says_why_it_cannot_start(house: MakeHouse) -> None:
    here = house("import sys; print('no module named x', file=sys.stderr); sys.exit(3)")
    here.converters.wanted(1)
    here.turn(lambda: bool(here.core.ended))
    kind, seat, problem = here.core.ended[0]
    assert (kind, seat) == ("cannot start", 1)
    assert "exit status 3 while starting" in problem
    assert "no module named x" in problem


def test_a_program_that_is_not_there_cannot_start() -> None:
    log.configure("critical")
    here = House("/nonexistent/interpreter")
    here.converters.wanted(0)
    assert here.core.ended[0][0] == "cannot start"
    assert "No such file" in here.core.ended[0][2]


def test_a_seat_gets_a_fresh_worker_after_the_death_of_the_one_before(house: MakeHouse) -> None:
    here = house(READY + WAIT)
    here.converters.wanted(0)
    here.turn(lambda: len(here.ready) == 1)
    first = here.pids[0]
    here.converters.given_up(0)
    here.turn(lambda: bool(here.core.ended))
    here.converters.wanted(0)
    here.turn(lambda: len(here.ready) == 2)
    assert here.pids[0] != first


def test_the_end_of_a_run_leaves_no_process(house: MakeHouse) -> None:
    here = house(READY + WAIT)
    for seat in (0, 1):
        here.converters.wanted(seat)
    here.converters.stop()
    for pid in here.pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert sorted(seat for _, seat, _ in here.core.ended) == [0, 1]
