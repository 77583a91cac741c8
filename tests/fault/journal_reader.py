"""Reads a journal file by docs/journal.md alone, without the product's code: a second reader for the oracle.

16 bytes of file header; then frames: marker, u32 body length, u32 crc32c, kind, version, two spare bytes, u64 group,
body.
The checksum is crc32c over the length, everything behind the checksum in the header, and the body.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_HEADER = 16
FRAME_HEADER = 24
MARKER = bytes([0xF5]) + b"JR" + bytes([0xFA])
KINDS = {1: "life", 2: "input", 3: "start", 4: "release", 5: "result", 6: "reused", 7: "setting"}

_TABLE = []
for _byte in range(256):
    _crc = _byte
    for _ in range(8):
        _crc = (_crc >> 1) ^ (0x82F63B78 if _crc & 1 else 0)
    _TABLE.append(_crc)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@dataclass(frozen=True)
class Record:
    offset: int
    end: int
    kind: str
    body: dict[str, Any]


def checksum(header: bytes, body: bytes) -> int:
    return crc32c(header[4:8] + header[12:FRAME_HEADER] + body)


def frame(kind: int, body: dict[str, Any], group: int) -> bytes:
    """Bytes of one frame, for planted bugs that write into a journal."""
    text = json.dumps(body).encode()
    head = MARKER + len(text).to_bytes(4, "little") + b"\0\0\0\0" + bytes([kind, 1, 0, 0]) + group.to_bytes(8, "little")
    return head[:8] + checksum(head, text).to_bytes(4, "little") + head[12:] + text


def read(path: Path, check: bool = True) -> tuple[list[Record], int]:
    """(records, bytes that belong to no good frame). `check=False` skips the checksums (slow in Python)."""
    data = path.read_bytes()
    records: list[Record] = []
    position = FILE_HEADER
    while position < len(data):
        header = data[position : position + FRAME_HEADER]
        length = int.from_bytes(header[4:8], "little")
        body = data[position + FRAME_HEADER : position + FRAME_HEADER + length]
        whole = len(header) == FRAME_HEADER and header[:4] == MARKER and len(body) == length
        if not whole or (check and checksum(header, body) != int.from_bytes(header[8:12], "little")):
            break
        end = position + FRAME_HEADER + length
        records.append(Record(position, end, KINDS[header[12]], json.loads(body)))
        position = end
    return records, max(0, len(data) - position)
