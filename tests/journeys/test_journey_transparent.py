"""Clients on a network of their own whose gateway turns what they ask to a node. They trust its authority,
and know nothing else of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stands.authority import Authority
from stands.hub import Hub
from stands.hub_clients import Unavailable, hub_client
from stands.index import Index
from stands.network import WORLD, WORLD6, Network
from stands.node import environment, eventually, toml
from stands.tls_front import TlsFront
from stands.wheels import catalogue

from edgeproxy.proxy.authority import keep, make

# The order is that of the addresses from WORLD on.
NAMES = ("index.test", "files.test", "huggingface.co", "cdn.test", "other.test")
ADDRESSES = {name: f"203.0.113.{10 + number}" for number, name in enumerate(NAMES)}
PORT = 3129


class World:
    """Stand-ins at port 443 of their addresses, and a node on the gateway."""

    def __init__(self, place: Path, network: Network, index: Index, hub: Hub) -> None:
        self.place, self.network, self.index, self.hub = place, network, index, hub
        for name, address in ADDRESSES.items():
            if address != WORLD:
                network.run(
                    network.world, "ip", "addr", "add", f"{address}/24", "dev", f"{network.world[-9:]}a"
                )
            del name
        authority = Authority(place)
        self.roots = authority.file
        behind = {
            "index.test": (index.pages_server.port, "127.0.0.1"),
            "files.test": (index.files_server.port, "127.0.0.1"),
            "huggingface.co": (hub.server.port, hub.server.host),
            "cdn.test": (hub.cdn.server.port, hub.cdn.server.host),
        }
        hub.server.public, hub.cdn.server.public = "https://huggingface.co", "https://cdn.test"
        self.fronts = []
        for name, (port, host) in behind.items():
            listening = network.listening(network.world, ADDRESSES[name], 443)
            self.fronts.append(TlsFront(port, authority.issue(name, [name]), listening, host))
        self.ca = place / "ca"
        keep(self.ca, make(time.time()))
        self.log = place / "access.log"
        self._node: subprocess.Popen[bytes] | None = None

    def start(self, *how: str, workers: int) -> None:
        """`how` are options of `edgeproxy intercept`."""
        common = {"private_addresses": True, "ca_file": self.roots}
        sections: dict[str, Any] = {
            "listen": {"http": ["127.0.0.1:8080"], "transparent": [f"0.0.0.0:{PORT}", f"[::]:{PORT}"]},
            "admin": {"listen": "127.0.0.1:8081"},
            "node": {"workers": workers},
            "cache": {"directory": self.place / "cache", "free_space": "0"},
            "log": {"access": "json", "access_file": self.log},
            "upstream": {"ca_file": self.roots},
            "proxy": {"ca": self.ca, "clients": ["0.0.0.0/0", "::/0"], "ports": [80, 443, 5432]},
            "site": [
                {
                    "name": "packages",
                    "kind": "python-index",
                    "mount": "/pypi",
                    "index": "https://index.test/simple/",
                    "link_hosts": ["https://files.test"],
                    **common,
                },
                {
                    "name": "hf",
                    "kind": "huggingface",
                    "mount": "/hf",
                    "content_hosts": ["cdn.test"],
                    **common,
                },
            ],
        }
        config = self.place / "edge.toml"
        config.write_text(toml(sections))
        self.command("intercept", "apply", "--config", str(config), *how)
        errors = (self.place / "errors").open("wb")
        command = [sys.executable, "-m", "edgeproxy", "serve", "--config", str(config)]
        self._node = subprocess.Popen(
            self.network.command(self.network.gateway, *command),
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
        )
        assert self._node.stdout is not None
        assert b"ready" in self._node.stdout.readline(), (self.place / "errors").read_text()

    def command(self, *arguments: str) -> None:
        """The program itself, on the gateway."""
        program = [sys.executable, "-m", "edgeproxy", *arguments]
        command = self.network.command(self.network.gateway, *program)
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    def on_client(self, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
        clean = environment()
        for name in ("PYTHONPATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            clean.pop(name, None)
        home = self.place / "home"
        home.mkdir(exist_ok=True)
        return subprocess.run(
            self.network.command(self.network.client, *command),
            env={**clean, "HOME": str(home), **extra},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def outcomes(self) -> list[str]:
        text = self.log.read_text() if self.log.exists() else ""
        return [json.loads(line)["cache"] for line in text.splitlines()]

    def stop(self) -> None:
        if self._node is not None:
            self._node.terminate()
            assert self._node.wait(40) == 0
        for front in self.fronts:
            front.stop()


@pytest.fixture
def workers() -> int:
    return 1


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path, workers: int) -> Iterator[World]:
    """Its parameter: what `edgeproxy intercept apply` is told."""
    network = Network(ADDRESSES)
    index, hub = _NamedIndex(catalogue()), Hub()
    hub.xet = False
    try:
        running = World(tmp_path, network, index, hub)
        names = {"lan": f"{network.client[-9:]}b"}
        how = [names.get(word, word) for word in getattr(request, "param", ())]
        running.start(*how, workers=workers)
        yield running
        running.stop()
    finally:
        network.remove()
        index.stop()
        hub.stop()


BY_TPROXY = ("--by", "tproxy")
either_way = pytest.mark.parametrize("world", [(), BY_TPROXY], indirect=True, ids=["redirect", "tproxy"])


class _NamedIndex(Index):
    @property
    def files_url(self) -> str:
        return "https://files.test"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pip_and_the_hub_client_as_they_are_and_the_second_time_nobody_is_asked(world: World) -> None:
    index, hub = world.index, world.hub
    model = hub.add_model("acme/model")
    model.commit({"config.json": b"{}", "weights.bin": os.urandom(3_000_000)}, "first")
    ca = str(world.ca / "ca.pem")
    pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--isolated", "--no-compile"]
    pip += ["--disable-pip-version-check", "--index-url", "https://index.test/simple/", "--cert", ca]
    asked = []
    for number in range(2):
        done = world.on_client(*pip, "--target", str(world.place / f"t{number}"), "beta")
        assert done.returncode == 0, done.stdout + done.stderr
        servers = (index.pages_server, index.files_server)
        asked.append(sum(len(server.journal.exchanges) for server in servers))
    assert asked[0] == asked[1] > 0
    page = world.on_client("curl", "-sS", "--cacert", ca, "https://huggingface.co/docs?page=2")
    assert page.returncode == 0, page.stderr
    assert [exchange.target for exchange in hub.server.journal.to("/docs")] == ["/docs?page=2"]
    try:
        client = hub_client("2", "", world.place / "hub")
    except Unavailable as reason:
        pytest.skip(str(reason))
    asked = []
    for number in range(2):
        said = world.on_client(
            *(str(client.python), "-c", _DOWNLOAD, str(world.place / f"hub{number}")),
            SSL_CERT_FILE=ca,
            REQUESTS_CA_BUNDLE=ca,
            HF_HUB_DISABLE_XET="1",
        )
        assert said.returncode == 0, said.stdout + said.stderr
        (found,) = (world.place / f"hub{number}").rglob("snapshots/*/weights.bin")
        assert hashlib.sha256(found.read_bytes()).hexdigest() == model.head.digests["weights.bin"]
        asked.append(len(hub.server.journal.exchanges) + len(hub.cdn.server.journal.exchanges))
    assert asked[0] == asked[1] > 0
    assert "tunnel" not in world.outcomes()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_run_takes_every_client_through_the_node_that_runs(world: World) -> None:
    index, network = world.index, world.network
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    assert uv is not None
    url = "https://index.test/simple/"
    to = world.place / "to"
    commands: dict[str, list[str]] = {
        "curl": ["curl", "-sSf", "-o", "/dev/null", f"{url}beta/"],
        "pip": [sys.executable, *_PIP, "--index-url", url, "--target", f"{to}p", "beta"],
        "uv": [
            *(uv, "pip", "install", "--no-cache", "--no-config", "--python", sys.executable),
            *("--default-index", url, "--target", f"{to}u", "beta"),
        ],
    }
    newest = _python_313()
    if newest is not None:
        commands["3.13"] = [newest, *_PIP, "--index-url", url, "--target", f"{to}n", "beta"]
    world.hub.add_model("acme/model").commit({"config.json": b"{}"}, "first")
    with contextlib.suppress(Unavailable):
        hub = hub_client("2", "", world.place / "hub")
        commands["hf"] = [str(hub.python.parent / "hf"), "download", "acme/model", "--local-dir", f"{to}h"]
    run = [sys.executable, "-m", "edgeproxy", "run", "--config", str(world.place / "edge.toml"), "--"]
    clean = {**environment(), "HOME": str(world.place), "HF_HUB_DISABLE_XET": "1"}
    for name, command in commands.items():
        done = subprocess.run(
            network.command(network.gateway, *run, *command),
            env=clean,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, (name, done.stdout + done.stderr)
    assert (Path(f"{to}h") / "config.json").read_bytes() == b"{}"
    assert len(index.files_server.journal.to(next(iter(index.by_path)))) <= 1
    assert "tunnel" not in world.outcomes()


_PIP = ("-m", "pip", "install", "--no-cache-dir", "--no-compile", "--disable-pip-version-check")


def _python_313() -> str | None:
    """An interpreter that verifies strictly, if there is one."""
    known = sorted(Path("~/.pyenv/versions").expanduser().glob("3.1[3-9]*/bin/python"))
    return next((str(one) for one in known), None) or shutil.which("python3.13")


_DOWNLOAD = "import sys, huggingface_hub as h; h.snapshot_download('acme/model', cache_dir=sys.argv[1])"


@pytest.mark.slow
@pytest.mark.timeout(120)
@either_way
@pytest.mark.parametrize("address", [ADDRESSES["other.test"], WORLD6])
def test_what_no_site_knows_goes_where_it_was_meant_to_go(world: World, address: str) -> None:
    """Bytes of any protocol, on a port that is turned."""
    network = world.network
    for port in (443, 80):
        with network.listening(network.world, address, port) as listening:
            thread = threading.Thread(target=_echo, args=(listening,))
            thread.start()
            place = (address, port)
            with network.inside(network.client, partial(socket.create_connection, place, 20)) as one:
                one.settimeout(30)
                data = b"\x16\x03\x01 not TLS at all" * 40_000
                threading.Thread(target=one.sendall, args=(data,)).start()
                got = b""
                while len(got) < len(data):
                    got += one.recv(1 << 16)
                assert got == data
            thread.join()
    assert eventually(lambda: world.outcomes().count("tunnel") >= 2)


def _echo(listening: socket.socket) -> None:
    accepted, _ = listening.accept()
    with accepted:
        while data := accepted.recv(1 << 16):
            accepted.sendall(data)


@pytest.mark.slow
@pytest.mark.timeout(120)
@either_way
def test_who_asks_the_listener_itself_is_not_sent_in_circles(world: World) -> None:
    network = world.network
    with network.inside(network.client, lambda: socket.create_connection(("198.51.100.1", PORT), 20)) as one:
        one.settimeout(20)
        assert one.recv(10) == b""


def _beta(world: World, *options: str) -> list[str]:
    url = "https://index.test/simple/beta/"
    return ["curl", "-sS", "--cacert", str(world.ca / "ca.pem"), "-m", "20", *options, url]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("world", [BY_TPROXY, (*BY_TPROXY, "--interface", "lan")], indirect=True)
def test_tproxy_leaves_connections_their_address_and_sites_answer(world: World) -> None:
    network = world.network
    # What a gateway has: connections are tracked, so that the kernel knows an original address of each.
    hook = "{ type filter hook prerouting priority 0; }"
    for rule in (
        "table inet other",
        f"chain inet other tracked {hook}",
        "rule inet other tracked ct state invalid drop",
    ):
        network.run(network.gateway, "nft", f"add {rule}")
    for number, options in enumerate(((), ("--resolve", f"index.test:443:[{WORLD6}]"))):
        done = world.on_client(*_beta(world, "-f", "-w", "%{remote_ip}", *options))
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith((ADDRESSES["index.test"], WORLD6)[number])
    assert eventually(lambda: world.outcomes() == ["miss", "hit"])
    # Plain HTTP for a host that no site knows over it, and a client that does not trust the authority.
    with network.listening(network.world, ADDRESSES["index.test"], 80) as listening:
        thread = threading.Thread(target=_echo, args=(listening,))
        thread.start()
        place = (ADDRESSES["index.test"], 80)
        with network.inside(network.client, partial(socket.create_connection, place, 20)) as one:
            one.settimeout(20)
            one.sendall(b"GET / HTTP/1.1\r\nHost: index.test\r\n\r\n")
            assert one.recv(100).startswith(b"GET / ")
        thread.join()
    refusing = world.on_client("curl", "-sS", "-m", "20", "https://index.test/simple/beta/")
    assert refusing.returncode == 60
    roots = ("--cacert", str(world.roots))
    again = world.on_client("curl", "-sSf", "-m", "20", *roots, "https://index.test/simple/beta/")
    assert again.returncode == 0, again.stderr
    assert eventually(lambda: world.outcomes().count("tunnel") == 2)
    world.command("intercept", "remove")
    directly = world.on_client("curl", "-sSf", "-m", "20", *roots, "https://index.test/simple/beta/")
    assert directly.returncode == 0, directly.stderr
    said = network.run(network.gateway, "sh", "-c", "nft list ruleset; ip rule; ip -6 rule").stdout
    assert ("table inet edgeproxy" in said, "25956" in said) == (False, False)
    assert world.outcomes().count("tunnel") == 2


@pytest.mark.slow
@pytest.mark.timeout(120)
@either_way
@pytest.mark.parametrize("workers", [2])
def test_what_one_of_several_processes_learns_of_a_client_all_know(world: World) -> None:
    """Each connection of a client may come to another process."""
    trusting = [world.on_client(*_beta(world, "-f")) for _ in range(4)]
    assert [done.returncode for done in trusting] == [0] * 4, trusting[0].stderr
    mistrusting = ["curl", "-sSf", "-m", "20", "--cacert", str(world.roots)]
    done = [world.on_client(*mistrusting, "https://index.test/simple/beta/") for _ in range(9)]
    assert [one.returncode for one in done] == [60] + [0] * 8, [one.stderr for one in done]
    assert eventually(lambda: world.outcomes().count("tunnel") == 8)
    assert sorted(world.outcomes())[:4] == ["hit", "hit", "hit", "miss"]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("world", [("--local-except", "nobody")], indirect=True)
def test_a_node_that_is_turned_to_itself_notices(world: World) -> None:
    network = world.network
    place = (ADDRESSES["other.test"], 443)
    with network.inside(network.client, partial(socket.create_connection, place, 20)) as one:
        one.settimeout(20)
        one.sendall(b"\x16\x03\x01 not TLS at all")
        with contextlib.suppress(ConnectionResetError):
            assert one.recv(10) == b""
    assert eventually(lambda: "was turned back to it" in (world.place / "errors").read_text())
    assert eventually(lambda: "refused" in world.outcomes())
    assert world.outcomes().count("tunnel") <= 1


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "world",
    [("--local-except", "root"), (*BY_TPROXY, "--local-except", "root")],
    indirect=True,
    ids=["redirect", "tproxy"],
)
def test_programs_of_the_gateway_are_turned_and_the_node_itself_is_not(world: World) -> None:
    network = world.network
    somebody = ["setpriv", "--reuid", "65534", "--clear-groups"]
    for number, as_whom in enumerate((somebody, [])):
        done = network.run(
            network.gateway, *as_whom, "curl", "-sSfk", "-m", "20", "https://index.test/simple/beta/"
        )
        assert "beta" in done.stdout
        assert eventually(lambda: world.outcomes() == ["miss"]), number
