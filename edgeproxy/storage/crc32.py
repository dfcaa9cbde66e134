"""CRC-32 (that of zlib), and that of a whole from those of its parts, so that bytes that arrive out of order
need not be read back to be summed. isal computes it by carry-less multiplication, ten times as fast as zlib;
where there is no wheel of it zlib has to do.

A CRC-32 is the remainder of a polynomial over GF(2). Appending n bytes multiplies what was before by
x^(8n); the rest is an exclusive or. Powers of x come from repeated squaring and are remembered."""

from __future__ import annotations

from functools import lru_cache

try:
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32", "joined", "remainder"]

POLYNOMIAL = 0xEDB88320  # reflected: bit 31 is x^0
ONE = 1 << 31


def joined(first: int, second: int, length: int) -> int:
    """The CRC-32 of A followed by B, from those of A and of B and the length of B in bytes."""
    return _product(_power(length), first) ^ second


def remainder(whole: int, first: int, length: int) -> int:
    """The CRC-32 of B alone, from those of A followed by B and of A and the length of B in bytes."""
    return _product(_power(length), first) ^ whole


def _product(a: int, b: int) -> int:
    product, bit = 0, ONE
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ POLYNOMIAL if b & 1 else b >> 1
    return product


@lru_cache(maxsize=64)
def _square(number: int) -> int:
    """x^(2^number)."""
    if number == 0:
        return ONE >> 1
    half = _square(number - 1)
    return _product(half, half)


@lru_cache(maxsize=1024)
def _power(length: int) -> int:
    """x^(8 * length)."""
    power, number = ONE, 3
    while length:
        if length & 1:
            power = _product(_square(number), power)
        length >>= 1
        number += 1
    return power
