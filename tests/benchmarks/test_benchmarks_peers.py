"""Every peer, as it is installed here, is what benchmarks take it for: a cache that gives right bytes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import bodies
from benchmarks.origin import Origin
from benchmarks.peers import PEERS, Absent, Haproxy, Nginx, Peer, Server, Squid, adjusted
from benchmarks.peers.peer import spawn
from benchmarks.running import prove_hit, scratch

CACHES = [peer for name, peer in PEERS.items() if name != "direct"]


@pytest.fixture
def directory() -> Iterator[Path]:
    with scratch() as own:
        yield own


@pytest.mark.slow
@pytest.mark.parametrize("peer", CACHES, ids=lambda peer: peer.name)
def test_a_peer_fills_and_then_answers_by_itself(peer: Peer, directory: Path) -> None:
    with Origin() as origin:
        try:
            server = peer.start(directory / peer.name, origin.url)
        except Absent as reason:
            pytest.skip(str(reason))
        try:
            problems = [prove_hit(server, origin, bodies.path(size, "x")) for size in (1 << 10, 3 << 20)]
            assert problems == ["", ""]
            assert server.memory_bytes() > 1 << 20
        finally:
            server.stop()


def test_a_server_is_not_configured_by_our_environment(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPROXY_BENCH_OUT", "elsewhere")
    monkeypatch.setenv("EDGEPROXY_LISTEN_HTTP", "127.0.0.1:1")
    log = directory / "log"
    shown = (
        "import os; print(sorted(name for name in os.environ if name.startswith('EDGEPROXY')), flush=True)"
    )
    assert spawn([sys.executable, "-c", shown], log).wait(20) == 0
    assert log.read_text() == "[]\n"


def test_a_peer_is_given_the_settings_it_has_and_no_others() -> None:
    assert adjusted(Squid(), patience_seconds=2, megabytes=7) == Squid(patience_seconds=2)
    assert adjusted(Haproxy(), patience_seconds=2, megabytes=7) == Haproxy(7, 2)
    assert adjusted(Nginx(), storage_bytes=1) == Nginx()


def test_what_is_told_of_a_peer_begins_with_its_name() -> None:
    assert [peer.name for peer in PEERS.values() if not peer.method.startswith(f"{peer.name}: ")] == []


def test_a_store_takes_no_body_that_is_larger() -> None:
    assert Squid(storage_bytes=1 << 30).refuses(1 << 30)
    assert not Squid().refuses(1 << 30)


CHILD = "import subprocess, time; subprocess.Popen(['sleep', '60']); print('up', flush=True); time.sleep(60)"


def test_the_processes_of_a_master_do_not_outlive_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    Server("x", "", process).kill()
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert process.poll() is not None
