import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest

from edgeproxy.cli.main import main


@dataclass
class FakeAdmin:
    """An admin listener that gives one answer to everything and remembers what it was asked."""

    address: str = ""
    status: int = 200
    answer: bytes = b"{}"
    asked: list[tuple[str, str, str, bytes]] = field(default_factory=list)

    def says(self, content: Any, status: int = 200) -> None:
        self.answer, self.status = json.dumps(content).encode(), status


@pytest.fixture
def admin() -> Iterator[FakeAdmin]:
    fake = FakeAdmin()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            fake.asked.append((self.command, self.path, self.headers.get("Authorization", ""), body))
            self.send_response(fake.status)
            self.send_header("Content-Length", str(len(fake.answer)))
            self.end_headers()
            self.wfile.write(fake.answer)

        do_POST = do_GET  # noqa: N815 - the name is that of the base class

        def log_message(self, *_: Any) -> None:
            return None

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        fake.address = f"127.0.0.1:{server.server_port}"
        yield fake
        server.shutdown()
        thread.join()


COMMIT = "c0" * 20


@dataclass
class FakeNode:
    """A node with one repository of a hub below /hf, pages of two entries, and faults on demand: answers
    cut short once after so many bytes, statuses given before the right one. Files whose name begins with
    "/" are at that path of the node."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    refused: dict[str, list[int]] = field(default_factory=dict)
    cache_status: str = "edge; fwd=uri-miss; stored"
    lies: dict[str, int] = field(default_factory=dict)  # sizes the listing claims
    sha: Any = COMMIT
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [target for target, _ in self.asked]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        target = handler.path
        self.asked.append((target, dict(handler.headers.items())))
        name = unquote(target.removeprefix(f"/hf/org/name/resolve/{COMMIT}/"))
        if self.refused.get(name):
            return self._send(handler, self.refused[name].pop(0), b"", {"X-Error-Message": "not now"})
        if target.startswith("/hf/api/models/org/name/revision/"):
            return self._send(handler, 200, json.dumps({"sha": self.sha}).encode())
        if target.startswith(f"/hf/api/models/org/name/tree/{COMMIT}?"):
            return self._page(
                handler, int(target.rpartition("cursor=")[2] or 0) if "cursor=" in target else 0
            )
        if name in self.files:
            return self._file(handler, name, self.files[name])
        return self._send(handler, 404, b"", {"X-Error-Message": "Entry not found"})

    def _page(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        entries = [
            {"type": "file", "oid": "ab" * 20, "size": self.lies.get(name, len(data)), "path": name}
            for name, data in self.files.items()
            if not name.startswith("/")
        ]
        following = f"http://elsewhere.example/x?recursive=true&expand=false&cursor={start + 2}"
        link = {"Link": f'<{following}>; rel="next"'} if start + 2 < len(entries) else {}
        self._send(handler, 200, json.dumps(entries[start : start + 2]).encode(), link)

    def _file(self, handler: BaseHTTPRequestHandler, name: str, data: bytes) -> None:
        fields = {"ETag": '"v1"', "Cache-Status": self.cache_status}
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        if start:
            fields["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(handler, 206 if start else 200, data[start:], fields, self.cut.pop(name, None))

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        data: bytes,
        fields: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        handler.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **(fields or {})}.items():
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(data[:cut])
        handler.close_connection = handler.close_connection or cut is not None


@pytest.fixture
def hub_node() -> Iterator[FakeNode]:
    fake = FakeNode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fake.answer(self)

        def log_message(self, *_: Any) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        yield fake
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs one command line in this process, with no variable of ours set."""
    for name in ("EDGEPROXY_CONFIG", "EDGEPROXY_ADMIN_TOKEN", "EDGEPROXY_ADMIN_LISTEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def ran(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        output = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        assert "Traceback" not in output.err
        return Ended(caught.value.code, output.out, output.err)

    return ran
