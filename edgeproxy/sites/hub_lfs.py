"""The batch API of git-lfs (its docs/api/batch.md): whose bytes are asked for, and where they are. Pure.

A batch names objects by SHA-256, which is what the store knows them by; so the answer points back to
this node. Objects that a tree has shown need no upstream. For others the upstream's answer is taken
and its signed URL travels inside our own signed one: nothing has to be remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import orjson

from edgeproxy.message import BytesBody, Headers, Response
from edgeproxy.sites.hub_signing import Grant, Purpose, grant_of, sign
from edgeproxy.sites.site import Unacceptable
from edgeproxy.sites.urls import parse_url

CONTENT_TYPE = "application/vnd.git-lfs+json"
BATCH_BYTES_MAX = 1 << 20
OBJECTS_MAX = 1000  # git-lfs asks for 100 at a time

_TEXT_MAX = 256
_Oid = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class Operation(StrEnum):
    DOWNLOAD = "download"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class LfsObject:
    """An object by the SHA-256 of its content, in hex, and its size in bytes."""

    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A request. An upload is none of our business: it is passed on as it is."""

    operation: Operation
    objects: tuple[LfsObject, ...]

    def unknown(self, known: Mapping[str, int]) -> tuple[LfsObject, ...]:
        """Those that `known` (size by oid) does not have."""
        return tuple(wanted for wanted in self.objects if wanted.oid not in known)


class _Object(msgspec.Struct, frozen=True):
    oid: _Oid
    size: _Size


class _Batch(msgspec.Struct, frozen=True):
    operation: Operation
    objects: Annotated[list[_Object], msgspec.Meta(max_length=OBJECTS_MAX)]
    transfers: Annotated[list[str], msgspec.Meta(max_length=32)] = []
    hash_algo: str = "sha256"


def parse_batch(content: bytes) -> Batch | Response:
    """The batch a client sent, or what to answer when it is none: 413, 409 for another hash, else 422."""
    if len(content) > BATCH_BYTES_MAX:
        return refusal(413, f"a batch has at most {BATCH_BYTES_MAX} bytes")
    try:
        asked = msgspec.json.decode(content, type=_Batch)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return refusal(422, f"not a batch of at most {OBJECTS_MAX} objects by SHA-256 and size")
    if asked.hash_algo != "sha256":
        return refusal(409, "objects are known by SHA-256 only")
    if asked.operation is Operation.DOWNLOAD and asked.transfers and "basic" not in asked.transfers:
        return refusal(422, 'only the transfer "basic" is spoken')
    return Batch(asked.operation, tuple(LfsObject(each.oid, each.size) for each in asked.objects))


def refusal(status: int, message: str) -> Response:
    return _json(status, {"message": message})


@dataclass(frozen=True, slots=True)
class Hrefs:
    """Makes URLs at this node for objects of one repository and one caller. `url` is the site's own
    absolute URL without a slash at the end; the URLs work until `expires` (wall-clock seconds)."""

    url: str
    key: bytes = field(repr=False)
    repository: str
    caller: str
    expires: int

    def of(self, wanted: LfsObject, upstream_href: str = "") -> str:
        """Raises ValueError if the upstream's URL is too long to be carried."""
        grant = Grant(
            Purpose.LFS,
            self.repository,
            self.caller,
            self.expires,
            wanted.oid,
            wanted.size,
            upstream_href,
        )
        return f"{self.url}/_lfs/{sign(self.key, grant)}"


def granted(key: bytes, token: str, now: float) -> Grant | None:
    """What the last part of such a URL permits: `digest` and `size` of one object of `repository`, on
    behalf of `caller`; `subject` is the upstream's URL for it, or "" if a tree tells where it is. None
    when it is none of ours or no longer valid. Whether the caller may still read the repository must
    be asked again, and an upstream's URL leads only to hosts the site follows redirects to."""
    return grant_of(key, token, Purpose.LFS, now)


NOT_FOUND = (404, "Object does not exist on the server")


def answer(
    batch: Batch,
    known: Mapping[str, int],
    hrefs: Hrefs,
    expires_in: int,
    otherwise: tuple[int, str] = NOT_FOUND,
) -> Response:
    """The answer to a download of objects in `known` (size by oid) without asking upstream; for others
    an error each, `otherwise`. `expires_in` is seconds."""
    return _batch_answer(_local(wanted, known, hrefs, expires_in, otherwise) for wanted in batch.objects)


def _local(
    wanted: LfsObject, known: Mapping[str, int], hrefs: Hrefs, expires_in: int, otherwise: tuple[int, str]
) -> dict[str, Any]:
    size = known.get(wanted.oid)
    if size is None:
        return _failed(wanted, *otherwise)
    if size != wanted.size:
        return _failed(wanted, 422, f"the object has {size} bytes")
    return _download(wanted, hrefs.of(wanted), expires_in)


class _Action(msgspec.Struct, frozen=True):
    href: str
    header: dict[str, str] | None = None
    expires_in: int | None = None


class _Actions(msgspec.Struct, frozen=True):
    download: _Action | None = None


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str = ""


class _Answered(msgspec.Struct, frozen=True):
    oid: _Oid
    size: _Size = 0
    actions: _Actions | None = None
    error: _Error | None = None


class _Answer(msgspec.Struct, frozen=True):
    objects: Annotated[list[_Answered], msgspec.Meta(max_length=OBJECTS_MAX)]
    transfer: str = "basic"


@dataclass(frozen=True, slots=True)
class RewrittenBatch:
    """A Transform of the upstream's answer to a download: every URL leads to this node.

    `known` (size by oid) are the objects that need no upstream URL. `expires_in` (seconds) bounds what
    upstream says. An object whose URL needs header fields of its own is left to the client: they are
    credentials between it and the upstream."""

    batch: Batch
    known: Mapping[str, int]
    hrefs: Hrefs
    expires_in: int

    def __call__(self, status: int, headers: Headers, data: bytes) -> tuple[Headers, bytes]:
        """Raises Unacceptable if this is not an answer to what was asked."""
        if status != 200:
            return headers, data
        try:
            told = msgspec.json.decode(data, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unacceptable(f"not an answer to an LFS batch: {error}") from None
        if told.transfer != "basic":
            raise Unacceptable("the answer to an LFS batch is for a transfer that was not offered")
        asked = {wanted.oid: wanted for wanted in self.batch.objects}
        if any(each.oid not in asked for each in told.objects):
            raise Unacceptable("the answer to an LFS batch is about objects that were not asked for")
        objects = [self._rewritten(asked[each.oid], each) for each in told.objects]
        changed = headers.replacing({"Content-Type": CONTENT_TYPE, "ETag": None, "Content-Length": None})
        return changed, _content(objects)

    def _rewritten(self, wanted: LfsObject, told: _Answered) -> dict[str, Any]:
        if told.error is not None:
            return _failed(wanted, told.error.code, told.error.message[:_TEXT_MAX])
        action = told.actions.download if told.actions else None
        if action is None:
            return _failed(wanted, *NOT_FOUND)
        if told.size != wanted.size:
            return _failed(wanted, 422, f"the object has {told.size} bytes")
        lives = self.expires_in
        if action.expires_in is not None and action.expires_in > 0:
            lives = min(lives, action.expires_in)
        if action.header:
            return _download(wanted, action.href, lives, action.header)
        if parse_url(action.href) is None:
            raise Unacceptable("the answer to an LFS batch holds something that is no URL")
        try:
            carried = "" if wanted.oid in self.known else action.href
            return _download(wanted, self.hrefs.of(wanted, carried), lives)
        except ValueError:
            raise Unacceptable("the answer to an LFS batch holds a URL that is too long") from None


def _download(
    wanted: LfsObject, href: str, expires_in: int, header: Mapping[str, str] | None = None
) -> dict[str, Any]:
    action = {"href": href, "header": dict(header or {}), "expires_in": expires_in}
    return {
        "oid": wanted.oid,
        "size": wanted.size,
        "authenticated": True,
        "actions": {"download": action},
    }


def _failed(wanted: LfsObject, code: int, message: str) -> dict[str, Any]:
    return {"oid": wanted.oid, "size": wanted.size, "error": {"code": code, "message": message}}


def _content(objects: Iterable[Mapping[str, Any]]) -> bytes:
    return orjson.dumps({"transfer": "basic", "objects": list(objects), "hash_algo": "sha256"})


def _batch_answer(objects: Iterable[Mapping[str, Any]]) -> Response:
    return Response(200, _FIELDS, BytesBody(_content(objects)))


def _json(status: int, content: Any) -> Response:
    return Response(status, _FIELDS, BytesBody(orjson.dumps(content)))


_FIELDS = Headers((("Content-Type", CONTENT_TYPE), ("Cache-Control", "no-store")))
