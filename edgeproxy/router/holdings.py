"""What a node holds, in few bytes: 32-bit digests of keys, sorted, their differences in Rice's code.

    u32 number of digests, u8 bits of the remainder, then for each digest: the quotient in ones ended by a
    zero, the remainder in that many bits; filled up with zeros

The differences of n random digests are near 2^32 / n, and about two bits more than its logarithm hold one:
8192 digests take 21 KiB. Two keys in a million share a digest with one of 8192: such a node is then believed
to have what it has not, which costs a miss."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

DIGESTS_MAX = 8192
BYTES_MAX = 64 << 10
_HEAD = struct.Struct(">IB")
_BITS = 32


class UnusableHoldings(ValueError):
    """Bytes that are no such set; the text says why."""


def digest_of(key: str) -> int:
    """The digest by which a key is known to routers."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=4).digest(), "big")


def encode(keys: Iterable[str], most: int = DIGESTS_MAX) -> bytes:
    """Of the first `most` keys."""
    digests: set[int] = set()
    for key in keys:
        digests.add(digest_of(key))
        if len(digests) >= most:
            break
    count = len(digests)
    width = max(0, ((1 << _BITS) // count).bit_length() - 1) if count else 0
    width = min(width, _BITS - 1)
    bits, before = [], 0
    for digest in sorted(digests):
        away = digest - before
        before = digest
        bits.append("1" * (away >> width) + "0")
        if width:
            bits.append(f"{away & ((1 << width) - 1):0{width}b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return _HEAD.pack(count, width) + (int(text, 2).to_bytes(len(text) // 8, "big") if text else b"")


def decode(data: bytes) -> frozenset[int]:
    """Raises UnusableHoldings for what `encode` does not make; takes some milliseconds at most."""
    if not _HEAD.size <= len(data) <= BYTES_MAX:
        raise UnusableHoldings("its length is wrong")
    count, width = _HEAD.unpack_from(data)
    if count > DIGESTS_MAX or width >= _BITS:
        raise UnusableHoldings("it names too many digests")
    body = data[_HEAD.size :]
    text = f"{int.from_bytes(body, 'big'):0{8 * len(body)}b}" if body else ""
    digests, at, before = set(), 0, 0
    for _ in range(count):
        zero = text.find("0", at)
        end = zero + 1 + width
        if zero < 0 or end > len(text):
            raise UnusableHoldings("it ends early")
        before += ((zero - at) << width) | (int(text[zero + 1 : end], 2) if width else 0)
        at = end
        if before >= 1 << _BITS:
            raise UnusableHoldings("it names what is no digest")
        digests.add(before)
    return frozenset(digests)
