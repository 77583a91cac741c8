"""The other end of each measured transport, in a process of its own, and the transports that Python users know.

Each peer has `near(...)` and `far(...)` ends with `send(bytes)` and `receive()`. Called by bench.channel.
"""

from __future__ import annotations

import importlib.util
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
_ICEORYX_QUEUE = 8
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


def _iceoryx_end(name: str, out: str, inward: str) -> End:
    """Polling, its fastest way; a full queue makes the sender wait, as everywhere here."""
    import ctypes

    import iceoryx2 as iox2

    iox2.set_log_level(iox2.LogLevel.Error)
    node: Any = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)

    def service(way: str) -> Any:
        builder = node.service_builder(iox2.ServiceName.new(f"{name}/{way}"))
        slices = builder.publish_subscribe(iox2.Slice[ctypes.c_uint8])
        return slices.enable_safe_overflow(False).subscriber_max_buffer_size(_ICEORYX_QUEUE).open_or_create()

    retry = iox2.BackpressureStrategy.RetryUntilDelivered
    publisher = (
        service(out).publisher_builder().initial_max_slice_len(LARGEST_BYTES).backpressure_strategy(retry).create()
    )
    subscriber = service(inward).subscriber_builder().create()
    buffer = ctypes.create_string_buffer(LARGEST_BYTES)

    def send(data: bytes) -> None:
        while True:
            sample = publisher.loan_slice_uninit(len(data))
            ctypes.memmove(sample.payload_ptr, data, len(data))
            if sample.assume_init().send() > 0:  # nobody has it while the other side still starts
                return

    def receive() -> None:
        while (sample := subscriber.receive()) is None:
            pass
        payload = sample.payload()
        ctypes.memmove(buffer, payload.as_ptr(), payload.len())
        sample.delete()

    return End(send, receive)


def _iceoryx_name(_: SpawnContext) -> str:
    return f"runner-bench-{os.getpid()}-{os.urandom(4).hex()}"


def peers() -> list[Peer]:
    """Those that can run here."""
    found = [
        Peer("mp.Pipe", lambda context: context.Pipe(), lambda ends: _pipe_end(ends[0]), _far_pipe),
        Peer("mp.Queue", _queues, lambda ends: End(ends[0].put, ends[1].get), _far_queue),
        Peer("unix socket", lambda _: socket.socketpair(), lambda ends: _stream_end(ends[0]), _far_stream),
    ]
    if importlib.util.find_spec("zmq") is not None:
        found.append(Peer("pyzmq", _zmq_address, lambda address: _zmq_end(address, True), _far_zmq))
    if importlib.util.find_spec("iceoryx2") is not None:
        found.append(Peer("iceoryx2", _iceoryx_name, lambda name: _iceoryx_end(name, "there", "back"), _far_iceoryx))
    return found


# Named functions, because a spawned child imports them by name.
def _far_pipe(ends: Any) -> End:
    return _pipe_end(ends[1])


def _far_queue(ends: Any) -> End:
    return End(ends[1].put, ends[0].get)


def _far_stream(ends: Any) -> End:
    return _stream_end(ends[1])


def _far_zmq(address: str) -> End:
    return _zmq_end(address, False)


def _far_iceoryx(name: str) -> End:
    return _iceoryx_end(name, "back", "there")
