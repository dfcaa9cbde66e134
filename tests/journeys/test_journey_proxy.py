"""Clients that know nothing of the node but that it is a proxy: tunnels, and hosts answered under their own
name."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from stands.authority import Authority, Issued
from stands.clients import Pip, Uv, curl
from stands.egress import EgressStand
from stands.index import Index
from stands.node import Node, environment, eventually
from stands.origin import Origin
from stands.tls_front import TlsFront
from stands.wheels import catalogue

from edgeproxy.proxy.authority import keep, make

StartNode = Callable[..., Node]


class TlsIndex(Index):
    """The index over TLS: pages at localhost, files at 127.0.0.1."""

    def __init__(self, issued: Issued) -> None:
        super().__init__(catalogue())
        self.fronts = [TlsFront(server.port, issued) for server in (self.pages_server, self.files_server)]

    @property
    def url(self) -> str:
        return f"https://localhost:{self.fronts[0].port}/simple/"

    @property
    def files_url(self) -> str:
        return f"https://127.0.0.1:{self.fronts[1].port}"

    @property
    def asked(self) -> int:
        return len(self.pages_server.journal.exchanges) + len(self.files_server.journal.exchanges)

    def stop(self) -> None:
        for front in self.fronts:
            front.stop()
        super().stop()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls_index(authority: Authority) -> Iterator[TlsIndex]:
    running = TlsIndex(authority.issue("index"))
    yield running
    running.stop()


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """The directory of the local CA, with one made."""
    keep(tmp_path / "ca", make(time.time()))
    return tmp_path / "ca"


@pytest.fixture
def serve(start_node: StartNode, authority: Authority, trusted: Path) -> Callable[..., Node]:
    """A proxy for the index, and for whatever else is on `ports`."""

    def start(index: TlsIndex, *ports: int, workers: int = 1, **options: Any) -> Node:
        site = {
            "name": "packages",
            "kind": "python-index",
            "mount": "/pypi",
            "index": index.url,
            "link_hosts": [index.files_url],
            "private_addresses": True,
            "ca_file": authority.file,
        }
        allowed = [*(front.port for front in index.fronts), *ports]
        proxy = {"private_addresses": True, "ports": allowed, "ca": trusted, **options}
        node = {"workers": workers}
        return start_node([site], {"proxy": proxy, "node": node})

    return start


def outcomes(node: Node) -> list[str]:
    return [line["cache"] for line in node.access_log()]


@pytest.mark.parametrize(("client", "workers"), [("pip", 1), ("uv", 1), ("pip", 2)])
def test_an_installer_goes_through_it_and_the_second_time_asks_nobody(
    serve: Callable[..., Node], tls_index: TlsIndex, trusted: Path, tmp_path: Path, client: str, workers: int
) -> None:
    node = serve(tls_index, workers=workers)

    def install(target: str) -> Any:
        place = tmp_path / target
        if client == "pip":
            options = ("--proxy", node.url(""), "--cert", str(trusted / "ca.pem"))
            return Pip("pip").install(tls_index.url, place, *options, "beta")
        program = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
        assert program is not None
        uv = Uv("uv", Path(program))
        return uv.install(
            tls_index.url, place, "beta", HTTPS_PROXY=node.url(""), SSL_CERT_FILE=str(trusted / "ca.pem")
        )

    first = install("one")
    assert first.status == 0, first.output
    asked = tls_index.asked
    second = install("two")
    assert second.packages == first.packages != {}
    assert tls_index.asked == asked
    # What came in this way is there for who asks the mount, and the other way round.
    assert (
        Pip("pip").install(node.url("/pypi/simple/"), tmp_path / "three", "beta").packages == first.packages
    )
    assert tls_index.asked == asked
    assert "tunnel" not in outcomes(node)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_proxy_may_have_a_listener_of_its_own(
    start_node: StartNode, authority: Authority, origin: Origin, tmp_path: Path, workers: int
) -> None:
    """For tunnels, for http:// URLs, and for what every listener answers."""
    body = origin.put("/a", 300_000)
    front = TlsFront(origin.server.port, authority.issue("other"))
    ports = [front.port, origin.server.port]
    sections = {
        "listen": {"proxy": ["127.0.0.1:0"]},
        "proxy": {"private_addresses": True, "ports": ports},
        "node": {"workers": workers},
    }
    node = start_node([{"name": "api", "kind": "api", "mount": "/api", "origin": origin.url}], sections)
    try:
        url, out = "http://{}:{}".format(*node.proxy), tmp_path / "out"
        assert node.proxy != node.http
        asks = [(f"https://localhost:{front.port}/a", url), (f"{origin.url}/a", url), (f"{url}/api/a", "")]
        for target, proxy in asks:
            options = ("--noproxy", "", "--proxy", proxy) if proxy else ("--noproxy", "*")
            done = curl(tmp_path / "home", *options, "--cacert", str(authority.file), "-o", str(out), target)
            assert done.returncode == 0, done.stderr
            assert out.read_bytes() == body
    finally:
        front.stop()
    assert eventually(lambda: sorted(outcomes(node)) == ["hit", "miss", "tunnel"])  # one store
    node.sections["listen"]["proxy"] = []
    assert node.reload(node.sections)["changed"] == ["listen.proxy"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(node.proxy, 5).close()


def test_hosts_that_pages_link_to_are_known_after_a_restart_by_a_client_that_kept_the_page(
    start_node: StartNode, authority: Authority, tls_index: TlsIndex, trusted: Path, tmp_path: Path
) -> None:
    site = {
        "name": "packages",
        "kind": "python-index",
        "mount": "/pypi",
        "index": tls_index.url,
        "private_addresses": True,
        "ca_file": authority.file,
    }
    ports = [front.port for front in tls_index.fronts]
    node = start_node([site], {"proxy": {"private_addresses": True, "ports": ports, "ca": trusted}})

    def get(url: str) -> str:
        out = tmp_path / "out"
        options = ("--noproxy", "", "--fail", "--cacert", str(trusted / "ca.pem"), "-o", str(out))
        done = curl(tmp_path / "home", "--proxy", node.url(""), *options, url)
        assert done.returncode == 0, done.stderr
        return out.read_text("latin-1")

    file = re.findall(r'https://127[^"#]+\.whl', get(f"{tls_index.url}beta/"))[0]
    get(file)
    node.restart()
    before = len(outcomes(node))
    asked = len(tls_index.files_server.journal.exchanges)
    get(file)
    assert eventually(lambda: outcomes(node)[before:] == ["hit"])
    assert len(tls_index.files_server.journal.exchanges) == asked


@pytest.mark.parametrize("workers", [1, 2])
def test_any_other_host_is_passed_on_unseen(
    serve: Callable[..., Node],
    tls_index: TlsIndex,
    authority: Authority,
    origin: Origin,
    tmp_path: Path,
    workers: int,
) -> None:
    body = origin.put("/a", 3_000_000)
    front = TlsFront(origin.server.port, authority.issue("other"))
    try:
        node = serve(tls_index, front.port, origin.server.port, workers=workers)
        out = tmp_path / "out"
        for url, through in ((f"https://localhost:{front.port}/a", "tunnel"), (f"{origin.url}/a", "miss")):
            done = curl(
                tmp_path / "home",
                "--proxy",
                node.url(""),
                "--cacert",
                str(authority.file),
                "-o",
                str(out),
                url,
            )
            assert done.returncode == 0, done.stderr
            assert out.read_bytes() == body
            assert eventually(lambda through=through: outcomes(node)[-1:] == [through])
        (line,) = [line for line in node.access_log() if line["cache"] == "tunnel"]
        assert line["bytes"] > len(body)
    finally:
        front.stop()


@pytest.mark.parametrize(
    ("options", "target", "status", "said"),
    [
        ({}, "localhost:22", 403, "port 22"),
        ({"hosts": ["*.example"]}, "localhost:{port}", 403, "localhost is not allowed"),
        ({"refused_hosts": ["localhost"]}, "localhost:{port}", 403, "localhost is refused"),
        ({"clients": ["192.0.2.0/24"]}, "localhost:{port}", 403, "does not serve your address"),
        ({"users": ["ada:lovelace"]}, "localhost:{port}", 407, "a name and a password"),
        ({"connect": "sites"}, "localhost:{port}", 403, "not served here"),
        ({"private_addresses": False}, "localhost:{port}", 403, "is loopback, and clients may not"),
        ({"private_addresses": False}, "127.0.0.1:{port}", 403, "proxy.private_addresses"),
        ({}, "nobody.invalid:{port}", 502, "nobody.invalid"),
        ({}, "localhost:{closed}", 502, "localhost"),
        ({"connect": "off"}, "localhost:{port}", 405, "CONNECT is not answered"),
        ({}, "localhost", 400, "host and a port"),
        ({}, "http://localhost:{port}/", 400, "invalid"),
        ({}, "localhost:99999", 400, "invalid port"),
        ({}, "user@localhost:{port}", 400, "invalid host"),
    ],
)
def test_who_may_not_go_somewhere_is_told_in_a_line(
    serve: Callable[..., Node],
    tls_index: TlsIndex,
    origin: Origin,
    options: dict[str, Any],
    target: str,
    status: int,
    said: str,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        closed = one.getsockname()[1]
    port = origin.server.port
    node = serve(tls_index, port, closed, **options)
    with socket.create_connection(node.http) as client:
        place = target.format(port=port, closed=closed)
        client.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        client.settimeout(20)
        answer = b""
        while data := client.recv(4096):
            answer += data
    head, _, line = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert said in line.decode()
    assert line.count(b"\n") == 1
    assert (b"Proxy-Authenticate: Basic" in head) == (status == 407)
    assert origin.journal.count("/") == 0


def test_credentials_are_taken_and_never_passed_on(
    serve: Callable[..., Node], tls_index: TlsIndex, origin: Origin, tmp_path: Path
) -> None:
    origin.put("/a", 10)
    node = serve(tls_index, origin.server.port, users=["ada:love lace"], tokens=["t0ken"])
    home = tmp_path / "home"
    for arguments in (
        ("--proxy-user", "ada:love lace"),
        ("--proxytunnel", "--proxy-user", "ada:love lace"),
        ("--proxytunnel", "--proxy-header", "Proxy-Authorization: Bearer t0ken"),
    ):
        told = ("-o", "/dev/null", "-w", "%{http_code} %{size_download}")
        done = curl(home, "--proxy", node.url(""), *arguments, *told, f"{origin.url}/a")
        assert (done.returncode, done.stdout) == (0, "200 10"), done.stderr
    refused = curl(home, "--proxy", node.url(""), "-o", "/dev/null", "-w", "%{http_code}", f"{origin.url}/a")
    assert refused.stdout == "407"
    assert node.metric("proxy_refusals_total", rule="users") == 1
    assert all(not exchange.all("proxy-authorization") for exchange in origin.journal.exchanges)
    assert "lace" not in node.stderr + str(node.access_log())


def test_a_client_as_old_as_pip_on_old_pythons_gets_its_tunnel(
    serve: Callable[..., Node], tls_index: TlsIndex, origin: Origin
) -> None:
    origin.put("/a", 10)
    node = serve(tls_index, origin.server.port)
    with socket.create_connection(node.http) as client:
        client.settimeout(20)
        client.sendall(f"CONNECT localhost:{origin.server.port} HTTP/1.0\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += client.recv(1)
        assert answer.startswith(b"HTTP/1.1 200 ")
        for _ in range(2):  # it stays open
            client.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
            while b"\r\n\r\n" not in answer[-4000:] or len(answer) < 20:
                answer += client.recv(4096)
            answer = b""
            client.settimeout(0.3)
            try:
                while client.recv(4096):
                    pass
            except TimeoutError:
                client.settimeout(20)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_client_that_does_not_trust_the_authority_gets_a_tunnel_the_next_time(
    serve: Callable[..., Node], tls_index: TlsIndex, authority: Authority, tmp_path: Path, workers: int
) -> None:
    node = serve(tls_index, workers=workers)
    url = f"{tls_index.url}beta/"
    done = curl(tmp_path / "home", "--proxy", node.url(""), "--cacert", str(authority.file), url)
    assert done.returncode == 60
    assert eventually(lambda: "refuses the certificate of localhost" in node.stderr)
    assert eventually(lambda: node.status()["proxy"]["refused_certificates"])
    (refused,) = node.status()["proxy"]["refused_certificates"]
    assert (refused["host"], refused["times"], refused["last_client"]) == ("localhost", 1, "127.0.0.1")
    for _ in range(1 if workers == 1 else 20):  # each process has to learn it
        again = curl(tmp_path / "home", "--proxy", node.url(""), "--cacert", str(authority.file), url)
        if again.returncode == 0:
            break
    assert again.returncode == 0, again.stderr
    assert eventually(lambda: "tunnel" in outcomes(node))


def test_what_no_site_plans_of_a_host_is_passed_on_with_its_method(
    serve: Callable[..., Node], tls_index: TlsIndex, trusted: Path, tmp_path: Path
) -> None:
    node = serve(tls_index)
    base = tls_index.url.removesuffix("/simple/")
    done = curl(
        tmp_path / "home",
        *("--proxy", node.url(""), "--cacert", str(trusted / "ca.pem")),
        *("-X", "PUT", "--data", "x", "-o", "/dev/null", "-w", "%{http_code}", f"{base}/elsewhere"),
    )
    assert done.returncode == 0, done.stderr
    (exchange,) = tls_index.pages_server.journal.to("/elsewhere")
    assert (exchange.method, exchange.get("host")) == ("PUT", base.removeprefix("https://"))


def test_run_gives_a_command_a_node_of_its_own(
    authority: Authority, tls_index: TlsIndex, tmp_path: Path
) -> None:
    config = tmp_path / "edge.toml"
    ports = [front.port for front in tls_index.fronts]
    config.write_text(
        f'[cache]\ndirectory = "{tmp_path / "cache"}"\nfree_space = "0"\n'
        f"[proxy]\nprivate_addresses = true\nports = {ports}\n"
        f'[[site]]\nname = "p"\nkind = "python-index"\nmount = "/pypi"\nindex = "{tls_index.url}"\n'
        f'link_hosts = ["{tls_index.files_url}"]\nprivate_addresses = true\nca_file = "{authority.file}"\n'
    )
    command = [sys.executable, "-m", "edgeproxy", "run", "--config", str(config), "--ephemeral", "--"]
    pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--isolated", "--no-compile"]
    asked = []
    for number in range(2):
        done = subprocess.run(
            [
                *(*command, "env", "NO_PROXY=", "no_proxy=", "PIP_CONFIG_FILE=/dev/null", *pip),
                *("--index-url", tls_index.url, "--target", str(tmp_path / f"t{number}"), "beta"),
            ],
            env={**environment(), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        asked.append(len(tls_index.files_server.journal.exchanges))
    assert asked[0] == asked[1] > 0


def test_run_goes_through_a_node_elsewhere_whose_authority_it_is_told(
    serve: Callable[..., Node], tls_index: TlsIndex, trusted: Path, tmp_path: Path
) -> None:
    """As from another machine: its own authority, made by `run`, is not the node's."""
    node = serve(tls_index)
    here = ("--set", f"cache.directory={tmp_path / 'here'}", "--set", "cache.free_space=0")

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgeproxy", "run", *here, "--url", node.url(""), *options, "--"]
        command += ["env", "NO_PROXY=", "no_proxy=", "curl", "-sSf", f"{tls_index.url}beta/"]
        kept = {**environment(), "HOME": str(tmp_path)}
        return subprocess.run(command, env=kept, capture_output=True, text=True, timeout=60, check=False)

    told = run()
    assert (told.returncode, told.stdout) == (1, "")
    assert "--ca edgeproxy-ca.pem" in told.stderr
    assert tls_index.asked == 0
    given = tmp_path / "edgeproxy-ca.pem"
    given.write_bytes(node.get("/.well-known/edgeproxy/ca.pem").body)
    done = run("--ca", str(given))
    assert (done.returncode, done.stderr) == (0, "")
    assert "beta" in done.stdout
    (trusted / "ca.pem").unlink()
    passed = run()
    assert "edgeproxy ca init" in passed.stderr
    assert "Traceback" not in passed.stderr
    # The node looks again for its authority now and then, and then passes on what it has answered before.
    assert eventually(lambda: run() and "tunnel" in outcomes(node))


def test_a_node_whose_network_has_a_proxy_reaches_everybody_through_it(
    start_node: StartNode, authority: Authority, origin: Origin, tmp_path: Path
) -> None:
    """Names that only the proxy knows: of an upstream, and of whom a client wants to reach."""
    body = origin.put("/a", 3_000_000)
    front = TlsFront(origin.server.port, authority.issue("far", ["far.test"]))
    base = f"https://far.test:{front.port}"
    site = {"name": "far", "mount": "/far", "origin": base, "ca_file": authority.file}
    with EgressStand("ada:love") as stand:
        sections = {"upstream": {"proxy": stand.url}, "proxy": {"ports": [front.port]}}
        node = start_node([site], sections)
        for _ in range(2):
            assert node.get("/far/a").body == body
        out = tmp_path / "out"
        options = ("--noproxy", "", "--cacert", str(authority.file), "-o", str(out))
        done = curl(tmp_path / "home", "--proxy", node.url(""), *options, f"{base}/a")
        assert done.returncode == 0, done.stderr
        assert out.read_bytes() == body
        assert eventually(lambda: outcomes(node) == ["miss", "hit", "tunnel"])
        stand.refuses = 403
        node.restart()  # connections are kept
        answer = node.get("/far/b")
        assert (answer.status, "403" in answer.body.decode()) == (502, True)
    front.stop()
    assert {head.split(" ")[1] for head in stand.heads} == {f"far.test:{front.port}"}


def test_websockets_and_other_protocols_go_through_tunnels(
    serve: Callable[..., Node], tls_index: TlsIndex
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        node = serve(tls_index, listening.getsockname()[1])
        with socket.create_connection(node.http) as client:
            client.sendall(
                f"CONNECT localhost:{listening.getsockname()[1]} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            )
            client.settimeout(20)
            accepted, _ = listening.accept()
            with accepted:
                accepted.sendall(b"the server speaks first")
                data = b""
                while not data.endswith(b"first"):
                    data += client.recv(4096)
                client.sendall(b"\x00\xff" * 10)
                client.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := accepted.recv(4096):
                    answer += piece
                assert answer == b"\x00\xff" * 10
                accepted.sendall(b"goodbye")
            assert client.recv(100) == b"goodbye"
            assert client.recv(100) == b""


def test_the_certificate_holds_for_a_strict_client(
    serve: Callable[..., Node], tls_index: TlsIndex, trusted: Path
) -> None:
    node = serve(tls_index)
    context = ssl.create_default_context(cafile=str(trusted / "ca.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    authority = f"localhost:{tls_index.fronts[0].port}"
    with socket.create_connection(node.http) as client:
        client.settimeout(20)
        client.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        while client.recv(1, socket.MSG_PEEK) and not client.recv(4096).endswith(b"\r\n\r\n"):
            pass
        with context.wrap_socket(client, server_hostname="localhost") as secured:
            secured.sendall(f"GET /simple/beta/ HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            assert secured.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("workers", [1, 2])
def test_rules_users_and_what_is_answered_here_change_with_a_reload(
    serve: Callable[..., Node],
    tls_index: TlsIndex,
    origin: Origin,
    authority: Authority,
    trusted: Path,
    tmp_path: Path,
    workers: int,
) -> None:
    origin.put("/a", 10)
    node = serve(tls_index, origin.server.port, workers=workers)
    home, url = tmp_path / "home", f"{origin.url}/a"

    def ask(*arguments: str) -> str:
        told = ("-o", "/dev/null", "-w", "%{http_connect}")
        return curl(home, "--proxy", node.url(""), "--proxytunnel", *told, *arguments).stdout

    with socket.create_connection(node.http) as open_tunnel:
        open_tunnel.settimeout(20)
        open_tunnel.sendall(f"CONNECT localhost:{origin.server.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert open_tunnel.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert ask(url) == "200"
        said = node.reload({"proxy": {"users": ["ada:lovelace"]}})
        assert (said["changed"], said["needs_restart"]) == (["proxy.users"], [])
        for _ in range(2 * workers):  # each process
            assert ask(url) == "407"
            assert ask("--proxy-user", "ada:lovelace", url) == "200"
        open_tunnel.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")  # what is open goes on
        assert open_tunnel.recv(4096).startswith(b"HTTP/1.1 200")
    # Requests with a URL in their line are judged by the same rules.
    plain = curl(home, "--proxy", node.url(""), "-o", "/dev/null", "-w", "%{http_code}", url)
    assert plain.stdout == "407"
    node.reload({"proxy": {"users": [], "refused_hosts": ["localhost"], "hosts": ["*"]}})
    assert ask(url.replace("127.0.0.1", "localhost")) == "403"
    node.reload({"proxy": {"refused_hosts": [], "connect": "off"}})
    assert ask(url) == "405"
    node.reload({"proxy": {"connect": "all"}})
    page = ("--cacert", str(trusted / "ca.pem"), f"{tls_index.url}beta/")
    assert curl(home, "-f", "--proxy", node.url(""), "-o", "/dev/null", *page).returncode == 0
    node.reload({"proxy": {"intercept": "off"}})
    assert curl(home, "-f", "--proxy", node.url(""), *page).returncode == 60
    page = ("--cacert", str(authority.file), f"{tls_index.url}beta/")
    assert curl(home, "-f", "--proxy", node.url(""), *page).returncode == 0
    node.reload({"proxy": {"intercept": "auto"}})
    assert curl(home, "-f", "--proxy", node.url(""), *page).returncode == 60
    # What cannot be read, or is nonsense, leaves everything as it was.
    for wrong in ({"users": ["without a password"]}, {"ports": [70000]}, {"clients": ["nowhere"]}):
        kept = node.sections["proxy"]
        with pytest.raises(HTTPError, match="409"):
            node.reload({"proxy": wrong})
        node.sections["proxy"] = kept
        assert ask(url) == "200"


def test_nobody_gets_past_the_rules_by_naming_another_host_within(
    serve: Callable[..., Node], tls_index: TlsIndex, origin: Origin, trusted: Path
) -> None:
    """CONNECT to a host that is answered here, then a request for another one."""
    node = serve(tls_index, refused_hosts=["refused.invalid"])
    context = ssl.create_default_context(cafile=str(trusted / "ca.pem"))
    authority = f"localhost:{tls_index.fronts[0].port}"

    def ask(host: str) -> bytes:
        with socket.create_connection(node.http) as client:
            client.settimeout(20)
            client.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            while not client.recv(4096).endswith(b"\r\n\r\n"):
                pass
            with context.wrap_socket(client, server_hostname="localhost") as secured:
                secured.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                return secured.recv(12)

    assert ask(f"refused.invalid:{tls_index.fronts[0].port}") == b"HTTP/1.1 403"
    assert ask(f"127.0.0.1:{origin.server.port}") == b"HTTP/1.1 403"  # a port that is not allowed
    assert node.metric("proxy_refusals_total", rule="refused_hosts") == 1
    assert node.metric("proxy_refusals_total", rule="ports") == 1
    node.reload({"proxy": {"connect": "sites"}})
    assert ask("elsewhere.invalid") == b"HTTP/1.1 421"
    assert not origin.journal.exchanges
