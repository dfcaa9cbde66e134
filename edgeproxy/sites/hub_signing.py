"""Short signed tokens: permission for one purpose in one repository, until a time. Pure.

A token carries what it permits, so nothing has to be remembered to honour it and it survives a
restart under the same key. It is a capability: who has it may use it. What it says can be read by
its holder, hence `caller` is a keyed hash and never a credential.

    base64url( HMAC-SHA256(key, label + payload), first 16 bytes | payload )

The payload is a MessagePack array of the fields of Grant, in their order."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from enum import StrEnum

import msgspec

TOKEN_LENGTH_MAX = 8192
KEY_BYTES_MIN = 16
REPOSITORY_LENGTH_MAX = 256
CALLER_LENGTH_MAX = 128
SUBJECT_LENGTH_MAX = 4608  # a commit and the longest path of a file

_MAC_BYTES = 16
_LABEL = b"edgeproxy hub token 1\0"
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{24,{TOKEN_LENGTH_MAX}}}", re.ASCII)
_DIGEST = re.compile(r"(?:[0-9a-f]{64})?", re.ASCII)
_SIZE_MAX = 1 << 62


class Purpose(StrEnum):
    """What a token is for; one made for another purpose is worth nothing."""

    XET = "xet"  # asking how a file is put together
    XORB = "xorb"  # the bytes of one file in runs of chunks
    LFS = "lfs"  # the bytes of one object of git-lfs


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token permits. `expires` is wall-clock seconds; `digest` the SHA-256 or Xet hash in hex the
    token is bound to, "" for any in the repository; `subject` whatever else the purpose needs to find
    the bytes again (a path, an upstream's URL)."""

    purpose: Purpose
    repository: str
    caller: str
    expires: int
    digest: str = ""
    size: int = 0
    subject: str = ""


class _Payload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    purpose: Purpose
    repository: str
    caller: str
    expires: int
    digest: bytes
    size: int
    subject: str


def sign(key: bytes, grant: Grant) -> str:
    """The token for `grant`: letters, digits, "-" and "_". Raises ValueError when a part of the grant is
    too long or has not its form, or the key is shorter than 16 bytes."""
    lengths = (
        (grant.repository, REPOSITORY_LENGTH_MAX),
        (grant.caller, CALLER_LENGTH_MAX),
        (grant.subject, SUBJECT_LENGTH_MAX),
    )
    if any(len(text) > longest for text, longest in lengths):
        raise ValueError("a part of the grant is too long")
    if _DIGEST.fullmatch(grant.digest) is None:
        raise ValueError("a digest is 64 hex digits in lower case")
    if not (0 <= grant.size <= _SIZE_MAX and 0 <= grant.expires <= _SIZE_MAX):
        raise ValueError("size and expiry are positive")
    payload = msgspec.msgpack.encode(
        _Payload(
            grant.purpose,
            grant.repository,
            grant.caller,
            grant.expires,
            bytes.fromhex(grant.digest),
            grant.size,
            grant.subject,
        )
    )
    token = _text(_mac(key, payload) + payload)
    if len(token) > TOKEN_LENGTH_MAX:
        raise ValueError("the token is too long")
    return token


def grant_of(key: bytes, token: str, purpose: Purpose, now: float) -> Grant | None:
    """What `token` permits at `now` (wall-clock seconds); None unless this key signed it for this purpose
    and it has not expired."""
    if _TOKEN.fullmatch(token) is None:
        return None
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return None
    mac, payload = data[:_MAC_BYTES], data[_MAC_BYTES:]
    # The last character of a token may hold bits that decode to nothing: one spelling only is honoured.
    if not hmac.compare_digest(_mac(key, payload), mac) or _text(data) != token:
        return None
    try:
        found = msgspec.msgpack.decode(payload, type=_Payload)
    except msgspec.MsgspecError:
        return None  # signed by this key under another layout
    if found.purpose is not purpose or now >= found.expires:
        return None
    return Grant(
        purpose, found.repository, found.caller, found.expires, found.digest.hex(), found.size, found.subject
    )


def _mac(key: bytes, payload: bytes) -> bytes:
    if len(key) < KEY_BYTES_MIN:
        raise ValueError(f"a key has at least {KEY_BYTES_MIN} bytes")
    return hmac.new(key, _LABEL + payload, hashlib.sha256).digest()[:_MAC_BYTES]


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode("ascii").rstrip("=")
