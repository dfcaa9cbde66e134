"""EDNS(0), RFC 6891: the options of a query that mean something here, and the OPT record of an answer."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from edgeproxy.router.dns_words import DO, OPTION_COOKIE, OPTION_NSID, OPTION_SUBNET, TYPE_OPT

_OPTION = Struct("!HH")
_SUBNET = Struct("!HBB")
_OPT = Struct("!BHHBBHH")
_WIDTH = {1: 32, 2: 128}  # address families of RFC 7871, by the bits of an address
_VERSION = {0: 0, 1: 4, 2: 6}
COOKIE_BYTES = 8  # of a client; RFC 7873 section 4
SERVER_COOKIE_BYTES = range(8, 33)


class Malformed(Exception):
    """Options that have to be answered with FORMERR."""


class Subnet(NamedTuple):
    """EDNS Client Subnet, RFC 7871. `version` of the address is 4 or 6, or 0 where the client named no family
    (it may with /0 only); `number` the address, `told` its bytes as they came, of `bits` bits."""

    version: int
    bits: int
    number: int
    told: bytes

    def option(self, scope: int) -> bytes:
        """As it goes back."""
        family = 0 if not self.version else 1 if self.version == 4 else 2
        return (
            _OPTION.pack(OPTION_SUBNET, 4 + len(self.told))
            + _SUBNET.pack(family, self.bits, scope)
            + self.told
        )


class Edns(NamedTuple):
    """`size` is the largest answer over UDP that can be taken, in bytes, as told."""

    size: int
    flags: int = 0
    subnet: Subnet | None = None
    cookie: bytes | None = None
    wants_nsid: bool = False


def read_options(size: int, flags: int, data: bytes) -> Edns:
    """Raises Malformed. Of a repeated cookie the first counts, RFC 7873 section 5.2."""
    subnet: Subnet | None = None
    cookie: bytes | None = None
    wants_nsid, at = False, 0
    while at < len(data):
        if len(data) - at < 4:
            raise Malformed("an option is cut short")
        code, length = _OPTION.unpack_from(data, at)
        at += 4
        content = data[at : at + length]
        at += length
        if len(content) != length:
            raise Malformed("an option is longer than what is there")
        if code == OPTION_SUBNET:
            if subnet is not None:
                raise Malformed("two client subnets")
            subnet = read_subnet(content)
        elif code == OPTION_COOKIE:
            if length != COOKIE_BYTES and length - COOKIE_BYTES not in SERVER_COOKIE_BYTES:
                raise Malformed("no cookie has this length")
            cookie = content if cookie is None else cookie
        elif code == OPTION_NSID:
            wants_nsid = True
    return Edns(size, flags, subnet, cookie, wants_nsid)


def read_subnet(content: bytes) -> Subnet:
    """Raises Malformed where RFC 7871 section 7.1 wants FORMERR. No family at all is taken with /0, as
    widespread tools send it."""
    if len(content) < 4:
        raise Malformed("a client subnet is cut short")
    family, bits, scope = _SUBNET.unpack_from(content)
    told = content[4:]
    if family == 0 and not bits and not told and not scope:
        return Subnet(0, 0, 0, b"")
    width = _WIDTH.get(family)
    if width is None:
        raise Malformed("no such address family")
    if scope or bits > width or len(told) != (bits + 7) // 8:
        raise Malformed("prefix length, scope and address do not agree")
    number = int.from_bytes(told, "big") << (width - 8 * len(told))
    if number & ((1 << (width - bits)) - 1):
        raise Malformed("there are bits beyond the prefix")
    return Subnet(_VERSION[family], bits, number, told)


def option(code: int, content: bytes) -> bytes:
    return _OPTION.pack(code, len(content)) + content


def opt_record(size: int, rcode: int, flags: int, options: bytes) -> bytes:
    """`size` is what we take over UDP; of the query's flags only DO goes back, RFC 3225 section 3."""
    return _OPT.pack(0, TYPE_OPT, size, rcode >> 4, 0, flags & DO, len(options)) + options
