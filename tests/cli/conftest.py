import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

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
