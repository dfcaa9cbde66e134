"""git over HTTPS through the proxy: to a host that is answered here, and to one that is not."""

from __future__ import annotations

import http.server
import os
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stands.authority import Authority, Issued
from stands.node import Node, environment

from edgeproxy.proxy.authority import keep, make

StartNode = Callable[..., Node]
GIT = shutil.which("git")


class Backend(http.server.BaseHTTPRequestHandler):
    """What serves repositories at any host: git's own program."""

    protocol_version = "HTTP/1.1"
    root = ""

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        assert GIT is not None
        variables = {
            **os.environ,
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "somebody",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        content = self._content()
        done = subprocess.run(
            [GIT, "http-backend"], input=content, env=variables, capture_output=True, check=True, timeout=60
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value.split()[0] for name, value in fields if name == "Status"), "200")
        self.send_response(int(status))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _content(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    do_GET = do_POST = _serve  # noqa: N815 - names of the library

    def log_message(self, format: str, *arguments: object) -> None:
        return None


def serving(root: Path, issued: Issued) -> http.server.ThreadingHTTPServer:
    handler = type("Rooted", (Backend,), {"root": str(root)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def servers(tmp_path: Path, authority: Authority) -> Iterator[list[int]]:
    """Ports: of a host that a site knows, of another. Both have the same repositories."""
    if GIT is None:
        pytest.skip("git is not installed")
    subprocess.run([GIT, "init", "-q", "--bare", str(tmp_path / "root" / "a.git")], check=True)
    running = [serving(tmp_path / "root", authority.issue(f"git{number}")) for number in range(2)]
    yield [server.server_address[1] for server in running]
    for server in running:
        server.shutdown()
        server.server_close()


def git(home: Path, *arguments: str, **variables: str) -> str:
    assert GIT is not None
    name = {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        [GIT, *arguments],
        env={**environment(), "HOME": str(home), "GIT_TERMINAL_PROMPT": "0", **name, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("place", "outcome"), [(0, "bypass"), (1, "tunnel")])
def test_clone_push_and_fetch(
    start_node: StartNode,
    authority: Authority,
    servers: list[int],
    tmp_path: Path,
    place: int,
    outcome: str,
) -> None:
    keep(tmp_path / "ca", make(time.time()))
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes((tmp_path / "ca" / "ca.pem").read_bytes() + authority.file.read_bytes())
    site = {"name": "git", "mount": "/git", "origin": f"https://localhost:{servers[0]}"}
    node = start_node(
        [{**site, "private_addresses": True, "ca_file": authority.file}],
        {"proxy": {"private_addresses": True, "ports": servers, "ca": tmp_path / "ca"}},
    )
    through = {"HTTPS_PROXY": node.url(""), "https_proxy": node.url(""), "GIT_SSL_CAINFO": str(trusted)}
    url = f"https://localhost:{servers[place]}/a.git"
    one, other = tmp_path / "one", tmp_path / "other"
    git(tmp_path, "clone", "-q", url, str(one), **through)
    for size in (10, 3_000_000):  # git sends the second one in chunks
        (one / f"file{size}").write_bytes(os.urandom(size))
        git(tmp_path, "-C", str(one), "add", ".")
        git(tmp_path, "-C", str(one), "commit", "-q", "-m", f"{size}")
        git(tmp_path, "-C", str(one), "push", "-q", "origin", "HEAD:main", **through)
        if not other.exists():
            git(tmp_path, "clone", "-q", "--branch", "main", url, str(other), **through)
        else:
            git(tmp_path, "-C", str(other), "pull", "-q", "origin", "main", **through)
        file = f"file{size}"
        assert (other / file).read_bytes() == (one / file).read_bytes()
    seen = {line["cache"] for line in node.access_log()}
    assert outcome in seen
    assert ("tunnel" in seen) == (outcome == "tunnel")
