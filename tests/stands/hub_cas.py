"""Xet storage of a stand-in hub: tokens, reconstructions, and files cut into xorbs as they are asked for.

hf_xet checks lengths and no hashes, so a file may be its own xorbs: runs of 64 chunks of 128 KiB, stored."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any

from stands.hub_answers import Refused, Reply, error, json_reply, send
from stands.hub_content import Content, Held
from stands.hub_host import HostServer
from stands.hub_repository import Commit, File, Repository
from stands.wire import Exchange, Wire

if TYPE_CHECKING:
    from stands.hub import Hub

CHUNK_BYTES = 128 << 10
CHUNKS = 64  # in one xorb
XORB_BYTES = CHUNK_BYTES * CHUNKS
HEADER_BYTES = 8
TOKEN_SECONDS = 900
SECRET = b"stand-in xorbs"


def xorb(content: Content, number: int) -> bytes:
    """Chunks one after another, each with its header: version, length stored, scheme, length unpacked."""
    start = number * XORB_BYTES
    parts: list[bytes] = []
    for place in range(start, min(content.size, start + XORB_BYTES), CHUNK_BYTES):
        chunk = content.read(place, min(content.size, place + CHUNK_BYTES))
        length = len(chunk).to_bytes(3, "little")
        parts += [b"\0" + length + b"\0" + length, chunk]
    return b"".join(parts)


class Cas:
    def __init__(self, hub: Hub, host: str) -> None:
        self._hub = hub
        self._tokens: dict[str, tuple[dict[str, File], float]] = {}  # files by Xet hash, end of life
        self._files: dict[str, File] = {}  # those a reconstruction was given for
        self.server = HostServer(self._answer, host)

    @property
    def url(self) -> str:
        return self.server.url

    def token(self, repository: Repository, commit: Commit, user: str) -> Reply:
        """A token for the large files of a commit, in the headers and in the body."""
        ends = int(self._hub.now()) + TOKEN_SECONDS
        value = f"xet_{user or 'public'}_{secrets.token_hex(8)}"
        self._tokens[value] = ({f.xet: f for f in commit.files.values() if f.large}, ends)
        fields = [
            ("X-Xet-Cas-Url", self.url),
            ("X-Xet-Access-Token", value),
            ("X-Xet-Token-Expiration", str(ends)),
            ("Cache-Control", "no-store"),
        ]
        reply = json_reply({"casUrl": self.url, "accessToken": value, "exp": ends}, fields=fields)
        reply.etag = ""
        return reply

    async def _answer(self, exchange: Exchange, wire: Wire) -> None:
        try:
            reply = self._reply(exchange)
        except Refused as refused:
            reply = refused.reply
        await send(reply, exchange, wire, self.server.statuses)

    def _reply(self, exchange: Exchange) -> Reply:
        if found := re.fullmatch(r"/xorbs/default/([0-9a-f]{64})/([0-9]+)", exchange.path):
            return self._xorb(exchange, found[1], int(found[2]))
        if found := re.fullmatch(r"(?:/(v[12]))?/reconstructions/([0-9a-f]{64})", exchange.path):
            return self._reconstruction(exchange, found[1] or "v1", found[2])
        if exchange.path.endswith("/telemetry"):
            return json_reply({})
        raise error(404, "not found")

    def _xorb(self, exchange: Exchange, name: str, number: int) -> Reply:
        signature = exchange.target.partition("X-Xet-Signature=")[2]
        if not hmac.compare_digest(signature, self._signature(name, number)):
            raise error(403, "forbidden")
        return Reply(200, [], Held(xorb(self._files[name].content, number)), ranges=True)

    def _signature(self, name: str, number: int) -> str:
        return hmac.new(SECRET, f"{name} {number}".encode(), hashlib.sha256).hexdigest()

    def _reconstruction(self, exchange: Exchange, version: str, name: str) -> Reply:
        token = exchange.get("authorization").removeprefix("Bearer ")
        files, ends = self._tokens.get(token, ({}, 0.0))
        if ends < self._hub.now():
            raise error(401, "unauthorized")
        if name not in files:
            raise error(404, "not found")
        file = self._files[name] = files[name]
        start, end = 0, file.size
        if found := re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", exchange.get("range")):
            start, end = int(found[1]), min(file.size, int(found[2] or file.size) + 1)
            if start >= file.size:
                return Reply(416, [("Content-Range", f"bytes */{file.size}")])
        runs = [self._run(file, number) for number in range(start // XORB_BYTES, -(-end // XORB_BYTES))]
        document: dict[str, Any] = {
            "offset_into_first_range": start % XORB_BYTES,
            "terms": [
                {"hash": r["hash"], "unpacked_length": r["unpacked"], "range": r["chunks"]} for r in runs
            ],
        }
        if version == "v2":
            document["xorbs"] = {
                r["hash"]: [{"url": r["url"], "ranges": [{"chunks": r["chunks"], "bytes": r["bytes"]}]}]
                for r in runs
            }
        else:
            document["fetch_info"] = {
                r["hash"]: [{"range": r["chunks"], "url": r["url"], "url_range": r["bytes"]}] for r in runs
            }
        return json_reply(document)

    def _run(self, file: File, number: int) -> dict[str, Any]:
        """One xorb, whole: its name is made of the file's and the place in it."""
        unpacked = min(XORB_BYTES, file.size - number * XORB_BYTES)
        chunks = -(-unpacked // CHUNK_BYTES)
        name = hashlib.blake2b(f"{file.xet} {number}".encode(), digest_size=32).hexdigest()
        signature = self._signature(file.xet, number)
        return {
            "hash": name,
            "unpacked": unpacked,
            "chunks": {"start": 0, "end": chunks},
            "bytes": {"start": 0, "end": unpacked + HEADER_BYTES * chunks - 1},
            "url": f"{self.url}/xorbs/default/{file.xet}/{number}?X-Xet-Signature={signature}",
        }
