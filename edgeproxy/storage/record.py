"""A stored response as bytes: the record.

    +-------+------------------+----------------------------------------------+
    | EPR1  | BLAKE2b, 16 bytes| JSON of {"stored": ..., "body": ..., ...}    |
    +-------+------------------+----------------------------------------------+
    4 bytes   over the JSON      see Record

Identity: the record names key, variant and body, and whoever reads it compares them with what was
asked for. Integrity: a changed bit anywhere makes the checksum wrong. Compatibility: another
version has another magic, and unknown members of the JSON are ignored, so members may be added with
a default. JSON, so that a person can read it with nothing but `tail` or the sqlite3 shell."""

from __future__ import annotations

import hashlib
import math

import msgspec

from edgeproxy.errors import StorageError
from edgeproxy.policy.stored import StoredResponse

MAGIC = b"EPR1"
CHECKSUM_BYTES = 16
HEAD_BYTES = len(MAGIC) + CHECKSUM_BYTES
RECORD_BYTES_MAX = 1 << 20
FOREVER = 1e12  # stands for an infinite time, which JSON cannot say


class Damaged(StorageError):
    """Bytes read back are not those that were written."""


_decoder = msgspec.json.Decoder(StoredResponse)
_encoder = msgspec.json.Encoder()
_TIMES = (
    "born",
    "request_time",
    "response_time",
    "fresh_until",
    "stale_while_revalidate_until",
    "stale_if_error_until",
    "missing_since",
)


def encode(stored: StoredResponse) -> bytes:
    """The record of `stored`. Raises StorageError if it cannot be written or is beyond 1 MiB."""
    if not all(math.isfinite(getattr(stored, name)) for name in _TIMES):
        stored = msgspec.structs.replace(stored, **{n: _finite(getattr(stored, n)) for n in _TIMES})
    try:
        text = _encoder.encode(stored)
    except (UnicodeEncodeError, ValueError, TypeError) as error:
        raise StorageError(f"a response cannot be recorded: {error}") from error
    if len(text) > RECORD_BYTES_MAX:
        raise StorageError("a response head is too large to be recorded")
    return MAGIC + checksum(text) + text


def decode(data: bytes) -> StoredResponse:
    """The stored response in a record. Raises Damaged."""
    if len(data) < HEAD_BYTES or data[:4] != MAGIC:
        raise Damaged("not a record of this version")
    text = data[HEAD_BYTES:]
    if checksum(text) != data[4:HEAD_BYTES]:
        raise Damaged("the checksum of a record is wrong")
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"a record cannot be read: {error}") from error


def checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=CHECKSUM_BYTES).digest()


def key_number(key: str) -> int:
    """What a key is found by in the index: 63 bits of its BLAKE2b. Collisions are told apart by the
    key in the record."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def variant_number(stored: StoredResponse) -> int:
    """Likewise for the request fields that select a variant."""
    return key_number(repr(stored.selecting))


def _finite(seconds: float) -> float:
    if math.isnan(seconds):
        return 0.0
    return max(-FOREVER, min(seconds, FOREVER))
