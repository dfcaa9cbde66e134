"""The CDN of a stand-in hub: content by Xet hash under signed URLs that come to an end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote

from stands.hub_answers import Refused, Reply, Trouble, send
from stands.hub_content import Held
from stands.hub_faults import Faults
from stands.hub_host import HostServer
from stands.hub_repository import File, Repository
from stands.wire import Exchange, Wire

if TYPE_CHECKING:
    from stands.hub import Hub

SECRET = b"stand-in"
HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please accept the terms.</body></html>"


def disposition(path: str) -> str:
    name = path.rpartition("/")[2]
    plain = name.encode("ascii", "replace").decode().replace('"', "'")
    return f"inline; filename*=UTF-8''{quote(name, safe='')}; filename=\"{plain}\";"


def trouble_of(faults: Faults, path: str, exchange: Exchange, bandwidth: float = 0.0) -> Trouble:
    if exchange.method == "HEAD":
        return Trouble()
    return Trouble(faults.taken(faults.flipped, path), faults.taken(faults.cut, path), bandwidth)


class Cdn:
    """`signed` holds every URL given out: signature to (repository id, path in it)."""

    def __init__(self, hub: Hub, host: str) -> None:
        self._hub = hub
        self._files: dict[str, File] = {}  # by path on this host
        self._answers = 0
        self.signed: dict[str, tuple[str, str]] = {}
        self.server = HostServer(self._answer, host)

    @property
    def url(self) -> str:
        return self.server.url

    def sign(self, repository: Repository, file: File, user: str) -> str:
        """A URL by which anyone may read the file while it lasts."""
        path = f"/xet-bridge-us/{repository.number}/{file.xet}"
        self._files[path] = file
        expires = int(self._hub.now()) + self._hub.faults.signed_seconds
        policy = {
            "Statement": [{"Condition": {"DateLessThan": {"AWS:EpochTime": expires}}, "Resource": path}]
        }
        query = {
            "X-Xet-Cas-Uid": user or "public",
            "response-content-disposition": disposition(file.path),
            "Expires": str(expires),
            "Policy": base64.b64encode(json.dumps(policy).encode()).decode().replace("=", "_"),
            "Signature": self._signature(path, str(expires), user or "public"),
            "Key-Pair-Id": "K2STANDIN",
        }
        self.signed[query["Signature"]] = (repository.id, file.path)
        return f"{self.url}{path}?" + "&".join(
            f"{name}={quote(value, safe='~')}" for name, value in query.items()
        )

    def _signature(self, path: str, expires: str, user: str) -> str:
        text = f"{path} {expires} {user}".encode()
        return hmac.new(SECRET, text, hashlib.sha256).hexdigest()

    async def _answer(self, exchange: Exchange, wire: Wire) -> None:
        faults = self._hub.faults
        await asyncio.sleep(faults.cdn_delay)
        try:
            reply = self._reply(exchange)
        except Refused as refused:
            reply = refused.reply
        await send(reply, exchange, wire, self.server.statuses)

    def _reply(self, exchange: Exchange) -> Reply:
        faults = self._hub.faults
        self._answers += 1
        if self._hub.failing("cdn", faults.cdn_error_every):
            raise _denied(faults.error_status, "InternalError")
        query = {name: values[0] for name, values in parse_qs(exchange.target.partition("?")[2]).items()}
        expires, user = query.get("Expires", ""), query.get("X-Xet-Cas-Uid", "")
        if not hmac.compare_digest(query.get("Signature", ""), self._signature(exchange.path, expires, user)):
            raise _denied(403, "AccessDenied")
        if int(expires) < self._hub.now():
            raise _denied(403, "AccessDenied")
        if query["Signature"] not in self.signed:  # given out by a process before this one
            raise _denied(403, "AccessDenied")
        # The name in the URL is the one of the file that was asked for; bytes may have several.
        path = self.signed[query["Signature"]][1]
        file = self._files[unquote(exchange.path)]
        if status := faults.status.get(path):
            raise _denied(status, "InternalError")
        if path in faults.html:
            return Reply(200, [("Content-Type", "text/html; charset=utf-8")], Held(HTML))
        if not exchange.get("range") and file.size > faults.cdn_whole_max and exchange.method == "GET":
            raise _denied(400, "InvalidRequest")
        return self._content(
            file,
            query["response-content-disposition"],
            trouble_of(faults, path, exchange, faults.cdn_bandwidth),
        )

    def _content(self, file: File, shown: str, trouble: Trouble) -> Reply:
        lie = self._hub.faults.cdn_ranges
        fields = [
            ("Content-Type", "application/octet-stream"),
            ("Content-Disposition", shown),
            ("Cache-Control", "public, max-age=31536000"),
            ("X-Cache", "Hit from cloudfront"),
        ]
        if lie == "whole":
            fields.append(("Accept-Ranges", "bytes"))
        return Reply(
            200,
            fields,
            file.content,
            f'"{file.xet}{self._answers if lie == "renamed" else ""}"',
            ranges=lie not in ("none", "whole"),
            range_shift=int(lie == "shifted"),
            size_lie=int(lie == "resized"),
            trouble=trouble,
        )


def _denied(status: int, code: str) -> Refused:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    )
    return Refused(Reply(status, [("Content-Type", "application/xml")], Held(text.encode())))
