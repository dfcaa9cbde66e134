"""An answer of an API, known without storing it, as JSON and as Protobuf (data/records.proto).

`/records/COUNT/NAME` is a package with COUNT files, each with name, size, SHA-256 and date: what an index or
a model hub tells about one. Both forms hold the same; a digest is 64 characters in one, 32 bytes in the
other."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass

METHOD = "/edgeproxy.bench.Records/Get"
_PATH = re.compile(r"/records/([0-9]{1,4})/([A-Za-z0-9._-]{1,80})")
_FIRST_PUBLISHED = 1_700_000_000
_VARINT, _BYTES = 0, 2  # wire types


@dataclass(frozen=True, slots=True)
class File:
    name: str
    size: int
    sha256: bytes
    published: int
    yanked: bool


def path(count: int, name: str) -> str:
    return f"/records/{count}/{name}"


def within(target: str) -> str | None:
    """The path of a record in a target that a server may have put under a path of its own."""
    match = _PATH.search(target)
    return match[0] if match else None


@functools.lru_cache(maxsize=4096)
def files(record: str) -> tuple[File, ...]:
    """The files of a record by its path. Raises ValueError for a path of none."""
    match = _PATH.fullmatch(record)
    if match is None:
        raise ValueError(f"not the path of a record: {record!r}")
    found = []
    for number in range(int(match[1])):
        digest = hashlib.sha256(f"{record}#{number}".encode()).digest()
        size = int.from_bytes(digest[:3], "big") + 1
        name = f"{match[2]}-1.{number}.0-py3-none-any.whl"
        found.append(File(name, size, digest, _FIRST_PUBLISHED + size, digest[3] < 16))
    return tuple(found)


@functools.lru_cache(maxsize=4096)
def as_json(record: str) -> bytes:
    told = [
        {
            "name": file.name,
            "size": file.size,
            "sha256": file.sha256.hex(),
            "published": file.published,
            "yanked": file.yanked,
        }
        for file in files(record)
    ]
    return json.dumps({"name": record, "files": told}, separators=(",", ":")).encode()


@functools.lru_cache(maxsize=4096)
def as_message(record: str) -> bytes:
    """The Record message."""
    parts = [_field(1, record.encode())]
    for file in files(record):
        inner = _field(1, file.name.encode()) + _number(2, file.size) + _field(3, file.sha256)
        inner += _number(4, file.published)
        if file.yanked:  # proto3 leaves out what has its default
            inner += _number(5, 1)
        parts.append(_field(2, inner))
    return b"".join(parts)


def request_message(record: str) -> bytes:
    """The RecordRequest message."""
    return _field(1, record.encode())


def read_request(message: bytes) -> str:
    """The path that a RecordRequest names. Raises ValueError for another message."""
    if len(message) < 2 or message[0] != 1 << 3 | _BYTES or message[1] != len(message) - 2:
        raise ValueError("not a RecordRequest")
    return message[2:].decode()


def framed(message: bytes) -> bytes:
    """A message as gRPC sends it: not compressed, its length, the message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def unframed(content: bytes) -> bytes:
    """The one message of a unary call. Raises ValueError if there is none, or more than one."""
    if len(content) < 5 or content[0] or int.from_bytes(content[1:5], "big") != len(content) - 5:
        raise ValueError("not one message that is not compressed")
    return content[5:]


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _field(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value
