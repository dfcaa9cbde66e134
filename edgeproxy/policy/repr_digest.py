"""Digest fields (RFC 9530): the SHA-256 of a representation, and who wants to know it."""

from __future__ import annotations

import base64
import binascii
import re

from edgeproxy.message import Headers
from edgeproxy.policy.structured import split_list

_MEMBER = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):[ \t]*(?:;.*)?", re.ASCII)
_WANTED = re.compile(r"sha-256=([0-9]{1,2})[ \t]*(?:;.*)?", re.ASCII)


def sha256_of(headers: Headers) -> str:
    """The SHA-256 in Repr-Digest, lower-case hex; "" if there is none."""
    for member in split_list(headers.get("Repr-Digest")):
        match = _MEMBER.fullmatch(member.strip(" \t"))
        if match is not None:
            try:
                return base64.b64decode(match[1], validate=True).hex()
            except binascii.Error:
                return ""
    return ""


def field(sha256: str) -> str:
    """The value of Repr-Digest for a digest in hex."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def is_wanted(request: Headers) -> bool:
    """Whether Want-Repr-Digest asks for SHA-256 (a preference of 0 means not acceptable)."""
    for member in split_list(request.get("Want-Repr-Digest")):
        match = _WANTED.fullmatch(member.strip(" \t"))
        if match is not None and 1 <= int(match[1]) <= 10:
            return True
    return False
