"""Numbers of the DNS: header flags, types, options, response codes (the IANA registries)."""

from __future__ import annotations

from enum import IntEnum

HEADER_BYTES = 12
NAME_BYTES_MAX = 255  # RFC 1035 section 2.3.4
LABEL_BYTES_MAX = 63
PLAIN_BYTES_MAX = 512  # of an answer over UDP to who does not speak EDNS
TCP_BYTES_MAX = 65535

QR, AA, TC, RD = 0x8000, 0x0400, 0x0200, 0x0100
OPCODE_MASK = 0x7800
DO = 0x8000  # in the flags of OPT

CLASS_IN = 1
TYPE_A, TYPE_NS, TYPE_CNAME, TYPE_SOA, TYPE_HINFO, TYPE_AAAA = 1, 2, 5, 6, 13, 28
TYPE_OPT, TYPE_DS, TYPE_HTTPS = 41, 43, 65
TYPE_IXFR, TYPE_AXFR, TYPE_ANY = 251, 252, 255
META_TYPES = range(128, 256)  # questions only, RFC 6895 section 3.1; all but ANY are refused

OPTION_NSID, OPTION_SUBNET, OPTION_COOKIE = 3, 8, 10


class Rcode(IntEnum):
    """RFC 6895 section 2.3; those above 15 have their upper bits in OPT."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16
    BADCOOKIE = 23
