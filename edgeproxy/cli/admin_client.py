"""Asking the running node's admin listener, over TCP or its unix socket."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from edgeproxy.address import Address, parse_address
from edgeproxy.config import Admin
from edgeproxy.errors import EdgeError

TIMEOUT_SECONDS = 30.0
ANSWER_BYTES_MAX = 64 << 20


class Unanswered(EdgeError):
    """The node does not answer, or not with what was asked for."""


class AdminClient:
    """One question each. Raises Unanswered with one line for a person."""

    def __init__(self, settings: Admin, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._settings = settings
        self._timeout = timeout_seconds
        address = parse_address(settings.listen)
        if address.is_wildcard:
            address = Address("::1" if ":" in address.host else "127.0.0.1", address.port)
        self._address = address

    def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, content: Any) -> Any:
        return self._ask("POST", path, orjson.dumps(content))

    def _ask(self, method: str, target: str, body: bytes | None) -> Any:
        connection = _connection(self._address, self._timeout)
        fields = {"Accept": "application/json"}
        if self._settings.token:
            fields["Authorization"] = f"Bearer {self._settings.token}"
        if body is not None:
            fields["Content-Type"] = "application/json"
        try:
            connection.request(method, target, body, fields)
            answer = connection.getresponse()
            data = answer.read(ANSWER_BYTES_MAX)
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
            raise Unanswered(f"no node answers at {self._address}: {why}") from None
        except http.client.HTTPException:
            raise Unanswered(f"what answers at {self._address} is not a node") from None
        finally:
            connection.close()
        return _content(answer.status, data, self._address)


def _content(status: int, data: bytes, address: Address) -> Any:
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Unanswered(f"what answers at {address} is not a node's admin listener") from None
    if status == 200:
        return content
    said = content.get("error") if isinstance(content, dict) else None
    raise Unanswered(f"the node at {address} says {status}: {said or 'nothing more'}")


def _connection(address: Address, timeout: float) -> http.client.HTTPConnection:
    if address.path:
        return _UnixConnection(address.path, timeout)
    return http.client.HTTPConnection(address.host, address.port, timeout=timeout)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
