"""A worker without a model, exec'ed by torture.py: answers each lease with a function of its handle and token ids.

argv: channel fd, control fd, spin_us, bug ("" = none), document fds. Exits 0 when the runner is gone.
"""

import sys

from runner.channel import Channel, ChannelClosed, Completion, Lease

_BATCH = 4


def answer(handle: int, token_ids: "list[int]") -> str:
    """What the harness expects back: long enough that a torn write would show."""
    return f"{handle}:" + ",".join(str(token ^ 0x5A5A) for token in token_ids)


def _respond(channel: Channel, lease: Lease, bug: str) -> None:
    output = answer(lease.handle, lease.token_ids.tolist())
    completion = Completion("ok", output, finish_reason="stop", tokens_in=len(lease.token_ids))
    if bug != "publish_before_write":
        channel.complete(lease, completion)
        return
    # Planted: the line is out before the bytes are.
    channel.complete(lease, Completion("ok", "?" * len(output), finish_reason="stop"))
    channel.publish()
    region = channel._region
    region[lease.output_offset : lease.output_offset + len(output)] = output.encode()


def main() -> int:
    channel_fd, control_fd, spin_us, bug, *documents = sys.argv[1:]
    channel = Channel.inherit(int(channel_fd), int(control_fd), [int(fd) for fd in documents], int(spin_us))
    turn = 0
    while True:
        try:
            leases = channel.receive(_BATCH, -1)
        except ChannelClosed:
            return 0
        for lease in leases:
            _respond(channel, lease, bug)
        turn += 1
        channel.progress(turn, 0, len(leases), 0)
        channel.publish()


if __name__ == "__main__":
    sys.exit(main())
