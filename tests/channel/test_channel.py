"""runner.channel against the runner's real end, in one process; deaths are in test_kills."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import _native
from runner.channel import COMPLETE, SUBMIT, Channel, ChannelClosed, Completion

ROOT = Path(__file__).parent.parent.parent
SETTINGS = {
    "ipc_budget_bytes": 4 << 20,
    "segment_bytes": 1 << 20,
    "output_slot_bytes": 1000,
    "ring_entries": 8,
    "spin_us": 0,
    "checksums": True,
}


class Both:
    """The two ends of one fresh channel."""

    def __init__(self, held: int = 4) -> None:
        self.arena = _native.DocumentArena(json.dumps(SETTINGS))
        self.port = _native.RunnerPort(self.arena, held)
        self.ends = self.port.child_ends()
        self.channel = Channel.inherit(*self.ends, spin_us=5)


def test_lines_are_sixty_four_bytes() -> None:
    assert SUBMIT.itemsize == COMPLETE.itemsize == 64


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 2**32 - 1), max_size=500),
    st.text(max_size=100),
    st.text(max_size=50),
    st.sampled_from(["ok", "failed", "released"]),
    st.sampled_from(["stop", "length", ""]),
)
def test_token_ids_and_texts_survive_the_round_trip(tokens, output, reason, status, finish) -> None:
    both = Both()
    assert both.port.submit([(2**63 + 1, tokens, 77)]) == 1
    (lease,) = both.channel.receive(4, -1)
    assert (lease.handle, lease.token_ids.tolist(), lease.max_tokens) == (2**63 + 1, tokens, 77)
    both.channel.complete(lease, Completion(status, output, reason, finish, tokens_in=len(tokens), tokens_out=3))
    assert both.port.drain() == []
    both.channel.publish()
    assert both.port.drain() == [(2**63 + 1, status, output, reason, finish, len(tokens), 3)]
    assert both.port.outstanding() == 0
    assert both.arena.bytes_in_use == 0


def test_a_lease_says_which_tokens_are_the_document() -> None:
    both = Both()
    both.port.submit([(1, [5, 6, 7, 8], 1)], (1, 2))
    both.port.submit([(2, [5, 6], 1)])
    found = both.channel.receive(4, 0)
    assert [lease.source_ids.tolist() for lease in found] == [[6, 7], []]
    both.port.submit([(3, [5, 6], 1)], (1, 2))
    with pytest.raises(_native.ChannelBroken, match="a lease that cannot be true"):
        both.channel.receive(4, 0)


def test_documents_are_read_only_in_the_worker() -> None:
    both = Both()
    both.port.submit([(1, [1, 2], 1)])
    (lease,) = both.channel.receive(1, 0)
    assert lease.token_ids.dtype == np.uint32
    with pytest.raises(ValueError, match="read-only"):
        lease.token_ids[0] = 9


def test_an_output_over_its_slot_fails_with_the_cure_and_is_not_cut() -> None:
    both = Both()
    both.port.submit([(1, [1], 1)])
    (lease,) = both.channel.receive(1, 0)
    both.channel.complete(lease, Completion("ok", "x" * 1001))
    both.channel.publish()
    ((_, status, output, reason, *_),) = both.port.drain()
    assert (status, output) == ("failed", "")
    assert reason.startswith("output: 1001 bytes")
    assert "channel.output_slot_bytes" in reason


def test_credits_bound_what_a_worker_holds() -> None:
    both = Both(held=2)
    assert both.port.submit([(handle, [handle], 1) for handle in range(5)]) == 2
    leases = both.channel.receive(5, 0)
    both.channel.complete(leases[1], Completion("released"))
    both.channel.publish()
    assert [answer[:2] for answer in both.port.drain()] == [(1, "released")]
    assert both.port.submit([(2, [2], 1), (3, [3], 1)]) == 1


def test_a_closed_runner_raises_after_what_it_sent_was_taken() -> None:
    both = Both()
    both.port.submit([(1, [1], 1)])
    both.port.close()
    assert len(both.channel.receive(4, -1)) == 1
    with pytest.raises(ChannelClosed):
        both.channel.receive(4, -1)
    with pytest.raises(ChannelClosed):
        both.channel.receive(4, 0)


def test_a_drain_is_seen_without_waiting() -> None:
    both = Both()
    assert not both.channel.draining
    both.port.request_drain()
    assert both.channel.receive(4, -1) == []
    assert both.channel.draining


def test_progress_carries_the_heartbeat_of_the_machines_clock() -> None:
    both = Both()
    before = time.monotonic_ns()
    both.channel.progress(1, 2, 3, 4)
    heartbeat, *rest = both.port.progress()
    assert before <= heartbeat <= time.monotonic_ns()
    assert rest == [1, 2, 3, 4]


def test_inherit_leaves_no_descriptor_of_the_child_open() -> None:
    both = Both()
    channel_fd, control_fd, document_fds = both.ends
    for fd in (channel_fd, control_fd, *document_fds):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_an_orphaned_worker_ends_by_itself() -> None:
    arena = _native.DocumentArena(json.dumps(SETTINGS))
    port = _native.RunnerPort(arena, 4)
    channel, control, documents = port.child_ends()
    worker = subprocess.Popen(
        [sys.executable, "-P", str(ROOT / "tests/channel/echo_worker.py"), str(channel), str(control), "0", ""]
        + [str(fd) for fd in documents],
        pass_fds=(channel, control, *documents),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    for fd in (channel, control, *documents):
        os.close(fd)
    port.submit([(1, [1, 2], 1)])
    while not (answers := port.drain()):
        assert port.wait(-1)
    assert answers[0][0] == 1
    port.close()
    assert worker.wait() == 0
