"""Three tiers of processes, edge, parent and origin, and what happens to each while pip and huggingface_hub
download: every client ends with the right bytes.

What goes wrong above the edge its clients do not notice. An edge that is stopped for a while is waited for;
one that dies breaks off, and clients come again: huggingface_hub and pip since 25.1 by themselves, at the
byte where they were, older releases of pip when they are run again."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stands.apart import FILE, MODEL, PROJECT, Apart
from stands.clients import Installer, Pip
from stands.hub_clients import HubClient
from stands.hub_content import Pattern
from stands.node import Node, eventually, free_addresses

StartNode = Callable[..., Node]
SIZE = 5_000_000
BEGUN = 300_000
RATE = 4e5  # bytes a second, until something has happened
WHILE_SECONDS = 1.5
SHORT = {"connect_timeout": "1s", "head_timeout": "2s", "progress_timeout": "1s"}
PIP, HUB = "packages", "hf"  # clients by their sites
DIGESTS = {
    PIP: hashlib.sha256(random.Random(PROJECT).randbytes(SIZE)).hexdigest(),
    HUB: Pattern(FILE, SIZE).sha256,
}
PAGES = {PIP: f"/pypi/simple/{PROJECT}/", HUB: f"/hf/api/models/{MODEL}"}
ABSENT = {PIP: "/pypi/simple/absent/", HUB: "/hf/api/models/acme/absent"}

pytestmark = pytest.mark.slow


@dataclass
class Download:
    """A client at work. `ok` is whether it says that all is well, `said` what else it says."""

    run: Callable[[], tuple[bool, str, str]]
    ok: bool = False
    said: str = ""
    digest: str = ""
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        self.ok, self.said, self.digest = self.run()

    def wait(self) -> None:
        self._thread.join()

    @property
    def is_calm(self) -> bool:
        """Whether the client has noticed nothing."""
        words = ("retry", "resum", "reset", "broken", "incomplete", "timed out", "error")
        return not any(word in self.said.lower() for word in words)


@dataclass
class Tiers:
    """`far` is a second parent, where there is one."""

    origin: Apart
    top: Node
    edge: Node
    far: Node | None
    home: Path
    visit: Callable[..., HubClient]
    pip: Installer = field(default_factory=lambda: Pip("pip"))
    runs: int = 0

    def download(self) -> dict[str, Download]:
        """Let both clients get everything anew through the edge."""
        self.runs += 1
        return {PIP: Download(self._install), HUB: Download(self._fetch)}

    def _install(self) -> tuple[bool, str, str]:
        target = self.home / f"target{self.runs}"
        retries = [] if self.pip.name == "pip" else ["--resume-retries", "8"]
        done = self.pip.install(self.edge.url("/pypi/simple/"), target, PROJECT, *retries)
        noise = target / PROJECT / "noise.bin"
        return done.status == 0, done.output, _digest(noise) if noise.exists() else ""

    def _fetch(self) -> tuple[bool, str, str]:
        done = self.visit("2", self.edge, f"user{self.runs}").file(MODEL, FILE)
        return done.ok, done.output + done.errors + done.message, done.files.get(FILE, "")

    def come_half_way(self) -> None:
        """Until both bodies have begun; neither has come to its end then."""

        def received(site: str) -> float:
            return self.edge.metric("upstream_bytes_total", site=site)

        assert eventually(lambda: all(received(site) > BEGUN for site in DIGESTS), 60)
        assert all(received(site) < SIZE for site in DIGESTS), "one was too quick for the other"

    def restart(self, node: Node) -> None:
        """SIGTERM, while answers are under way, which end then; and start again."""
        restarting = threading.Thread(target=node.restart)
        restarting.start()
        assert eventually(lambda: is_refused(node), 30)
        self.origin.hurry()
        restarting.join()


def is_refused(node: Node) -> bool:
    try:
        socket.create_connection(node.http, 5).close()
    except OSError:
        return True
    return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def both_end_well(downloads: dict[str, Download]) -> bool:
    """Wait for them; whether neither has noticed anything."""
    for site, download in downloads.items():
        download.wait()
        assert (download.ok, download.digest) == (True, DIGESTS[site]), download.said
    return all(download.is_calm for download in downloads.values())


@pytest.fixture(scope="module")
def origin() -> Iterator[Apart]:
    """What is asked in the end, for all tests of this module."""
    apart = Apart(SIZE, RATE)
    yield apart
    apart.end()


def sites(origin: Apart) -> list[dict[str, Any]]:
    index = {"index": origin.index, "link_hosts": [origin.index_files], "private_addresses": True}
    return [
        {"name": PIP, "kind": "python-index", "mount": "/pypi", **index},
        {"name": HUB, "kind": "huggingface", "mount": "/hf", "endpoint": origin.hub},
    ]


BuildTiers = Callable[[str], Tiers]


@pytest.fixture
def build(
    start_node: StartNode, origin: Apart, visit: Callable[..., HubClient], tmp_path: Path
) -> Iterator[BuildTiers]:
    """Start tiers, with one parent ("alone", no origin), with two ("pair", no origin either), or with one and
    the origin behind it ("last")."""
    made: list[Tiers] = []

    def start(above: str) -> Tiers:
        origin.start()
        addresses = free_addresses(3 if above == "pair" else 2)
        parents = [
            {"name": f"up{number}", "url": f"http://{address}", "preference": number, **SHORT}
            for number, address in enumerate(addresses[1:])
        ]
        nodes = []
        for number, address in enumerate(addresses):
            sections: dict[str, Any] = {
                "node": {"name": f"node-{number}"},
                "listen": {"http": [address]},
                "fill": {"parallel": 1},
                "upstream": dict(SHORT),
            }
            if not number:
                sections["parent"] = [{**parent, "http2": "prior-knowledge"} for parent in parents]
                sections["upstream"]["origin"] = "last" if above == "last" else "never"
            nodes.append(start_node(sites(origin), sections, ready=False))
            nodes[-1].spawn()
        for node in nodes:
            node.await_ready()
        far = nodes[2] if above == "pair" else None
        made.append(Tiers(origin, nodes[1], nodes[0], far, tmp_path, visit))
        return made[-1]

    yield start
    origin.go_on()
    for tiers in made:
        for node in (tiers.top, tiers.edge):
            if node.process is not None:
                os.kill(node.pid, signal.SIGCONT)


def _killed(tiers: Tiers) -> None:
    tiers.top.kill()


def _stopped(tiers: Tiers) -> None:
    os.kill(tiers.top.pid, signal.SIGSTOP)


def _stopped_for_a_while(tiers: Tiers) -> None:
    _stopped(tiers)
    time.sleep(WHILE_SECONDS)
    os.kill(tiers.top.pid, signal.SIGCONT)


def _crashed(tiers: Tiers) -> None:
    tiers.top.kill()
    tiers.top.start()


def _restarted(tiers: Tiers) -> None:
    tiers.restart(tiers.top)


ABOVE = [
    ("last", _killed),
    ("pair", _killed),
    ("last", _stopped),
    ("pair", _stopped),
    ("alone", _stopped_for_a_while),
    ("alone", _crashed),
    ("last", _restarted),
]


@pytest.mark.parametrize(("above", "event"), ABOVE, ids=[f"{a}-{e.__name__[1:]}" for a, e in ABOVE])
def test_what_happens_to_a_parent_in_mid_body_is_noticed_by_nobody(
    build: BuildTiers, above: str, event: Callable[[Tiers], None]
) -> None:
    tiers = build(above)
    downloads = tiers.download()
    tiers.come_half_way()
    event(tiers)
    tiers.origin.hurry()
    assert both_end_well(downloads), {site: download.said for site, download in downloads.items()}
    received = tiers.edge.metric("upstream_bytes_total")
    assert received <= 2.4 * SIZE, "much has been fetched twice"


def _origin_stopped_for_a_while(tiers: Tiers) -> None:
    tiers.origin.stop()
    time.sleep(WHILE_SECONDS)
    tiers.origin.go_on()


def _origin_crashed(tiers: Tiers) -> None:
    tiers.origin.kill()
    time.sleep(WHILE_SECONDS / 2)
    tiers.origin.start()


@pytest.mark.parametrize("event", [_origin_stopped_for_a_while, _origin_crashed])
def test_what_happens_to_the_origin_in_mid_body_is_noticed_by_nobody(
    build: BuildTiers, event: Callable[[Tiers], None]
) -> None:
    tiers = build("last")
    downloads = tiers.download()
    tiers.come_half_way()
    event(tiers)
    tiers.origin.hurry()
    assert both_end_well(downloads), {site: download.said for site, download in downloads.items()}


def test_an_origin_that_is_gone_is_not_missed_where_the_parent_has_it_all(build: BuildTiers) -> None:
    tiers = build("alone")
    tiers.origin.hurry()
    assert both_end_well(tiers.download())
    tiers.origin.kill()
    tiers.edge.purge("all")
    before = tiers.edge.metric("upstream_bytes_total")
    assert both_end_well(tiers.download())
    # The hub's file is known by its digest, and so it is found again under the name that was purged.
    assert tiers.edge.metric("upstream_bytes_total") >= before + SIZE


def _edge_stopped_for_a_while(tiers: Tiers) -> None:
    os.kill(tiers.edge.pid, signal.SIGSTOP)
    time.sleep(WHILE_SECONDS)
    os.kill(tiers.edge.pid, signal.SIGCONT)


def _edge_crashed(tiers: Tiers) -> None:
    tiers.edge.kill()
    tiers.edge.start()


def _edge_restarted(tiers: Tiers) -> None:
    tiers.restart(tiers.edge)


@pytest.mark.parametrize(
    ("event", "is_noticed"),
    [(_edge_stopped_for_a_while, False), (_edge_crashed, True), (_edge_restarted, False)],
)
def test_what_happens_to_the_edge_its_clients_outlive(
    build: BuildTiers,
    releases: Callable[[str], Installer],
    event: Callable[[Tiers], None],
    is_noticed: bool,
) -> None:
    tiers = build("last")
    tiers.pip = releases("pip==25.3")
    downloads = tiers.download()
    tiers.come_half_way()
    event(tiers)
    tiers.origin.hurry()
    assert both_end_well(downloads) is not is_noticed


def test_an_old_pip_that_was_cut_off_finds_everything_when_it_is_run_again(build: BuildTiers) -> None:
    tiers = build("last")
    downloads = tiers.download()
    tiers.come_half_way()
    tiers.edge.kill()
    tiers.edge.start()
    tiers.origin.hurry()
    for download in downloads.values():
        download.wait()
    assert (downloads[PIP].ok, downloads[PIP].digest) == (False, "")
    assert (downloads[HUB].ok, downloads[HUB].digest) == (True, DIGESTS[HUB]), downloads[HUB].said
    assert both_end_well(tiers.download())


def test_an_edge_whose_only_parent_is_gone_says_so_at_once_and_comes_back_by_itself(
    build: BuildTiers,
) -> None:
    tiers = build("alone")
    edge = tiers.edge
    pages = {site: edge.get(target).body for site, target in PAGES.items()}
    downloads = tiers.download()
    tiers.come_half_way()
    tiers.top.kill()
    for target in ABSENT.values():
        edge.get(target)  # the first to notice may have to wait for a connection
    began = time.monotonic()
    for target in ABSENT.values():
        for _ in range(5):
            answer = edge.get(target)
            # Clients of the hub would try again for half a minute after a 503.
            assert (answer.status, answer.get("retry-after") != "") in ((503, True), (504, False)), target
    assert time.monotonic() - began < 2
    edge.purge("all", soft=True)
    for site, target in PAGES.items():
        stale = edge.get(target)
        assert (stale.status, stale.body) == (200, pages[site])
        assert "disconnected" in stale.get("cache-status"), stale.get("cache-status")
    tiers.top.start()
    tiers.origin.hurry()
    assert eventually(lambda: {edge.get(target).status for target in ABSENT.values()} <= {404, 401}, 20)
    for site, download in downloads.items():
        download.wait()
        assert download.digest in ("", DIGESTS[site]), "wrong bytes were completed"
    assert both_end_well(tiers.download())
