"""The other end of each measured transport, in a process of its own, and the transports that Python users know.

Each peer has `near(...)` and `far(...)` ends with `send(bytes)` and `receive()`. Called by bench.channel.
"""

from __future__ import annotations

import os
import socket
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

LARGEST_BYTES = 1 << 20
"""Where an interface can receive into memory that is there already, it does: fresh blocks cost page faults."""
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class End:
    """One end of a transport."""

    send: Callable[[bytes], object]
    receive: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Peer:
    """`make` gives what both processes need (picklable for a spawned child); `near` and `far` open the ends."""

    name: str
    make: Callable[[SpawnContext], Any]
    near: Callable[[Any], End]
    far: Callable[[Any], End]


def _pipe_end(connection: Any) -> End:
    buffer = bytearray(LARGEST_BYTES)
    return End(connection.send_bytes, lambda: connection.recv_bytes_into(buffer))


def _queues(context: SpawnContext) -> Any:
    return context.Queue(), context.Queue()


def _stream_end(stream: socket.socket) -> End:
    buffer = memoryview(bytearray(LARGEST_BYTES))

    def receive_exactly(count: int) -> memoryview:
        left = buffer[:count]
        while left:
            got = stream.recv_into(left)
            if got == 0:
                raise EOFError
            left = left[got:]
        return buffer[:count]

    def send(data: bytes) -> None:
        stream.sendall(_LENGTH.pack(len(data)))
        stream.sendall(data)

    return End(send, lambda: receive_exactly(_LENGTH.unpack(receive_exactly(_LENGTH.size))[0]))


def _zmq_end(address: str, bind: bool) -> End:
    import zmq

    pair: Any = zmq.Context.instance().socket(zmq.PAIR)
    (pair.bind if bind else pair.connect)(address)
    return End(pair.send, pair.recv)


def _zmq_address(_: SpawnContext) -> str:
    return f"ipc://{Path(tempfile.mkdtemp(prefix='runner-bench-')) / str(os.getpid())}"


def peers() -> list[Peer]:
    """Those that can run here."""
    found = [
        Peer("mp.Pipe", lambda context: context.Pipe(), lambda ends: _pipe_end(ends[0]), _far_pipe),
        Peer("mp.Queue", _queues, lambda ends: End(ends[0].put, ends[1].get), _far_queue),
        Peer("unix socket", lambda _: socket.socketpair(), lambda ends: _stream_end(ends[0]), _far_stream),
    ]
    try:
        import zmq  # noqa: F401 - only whether it is there
    except ImportError:
        return found
    return [*found, Peer("pyzmq", _zmq_address, lambda address: _zmq_end(address, True), _far_zmq)]


# Named functions, because a spawned child imports them by name.
def _far_pipe(ends: Any) -> End:
    return _pipe_end(ends[1])


def _far_queue(ends: Any) -> End:
    return End(ends[1].put, ends[0].get)


def _far_stream(ends: Any) -> End:
    return _stream_end(ends[1])


def _far_zmq(address: str) -> End:
    return _zmq_end(address, False)
