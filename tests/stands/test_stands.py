"""The stand-ins by themselves: what is measured with them is worth no more than they are."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stands.clients import Installer, Pip, Uv
from stands.faults import BODY, FAULTS
from stands.index import Index
from stands.load import crowd
from stands.origin import Origin
from stands.raw_client import Address, Broken, RawClient, fetch, request
from stands.wheels import catalogue


@pytest.fixture
def address(origin: Origin) -> Address:
    return ("127.0.0.1", origin.server.port)


@pytest.fixture
def index() -> Iterator[Index]:
    running = Index(catalogue())
    yield running
    running.stop()


def test_the_origin_serves_ranges_validators_and_counts(origin: Origin, address: Address) -> None:
    body = origin.put("/a", 600_000)
    whole = fetch(address, "/a")
    assert (whole.status, whole.body, whole.complete) == (200, body, True)
    assert fetch(address, "/a", [("Range", "bytes=-7")]).body == body[-7:]
    assert fetch(address, "/a", [("Range", "bytes=600000-")]).status == 416
    assert fetch(address, "/a", [("If-None-Match", whole.get("etag"))]).status == 304
    assert origin.journal.count("/a") == 4


@pytest.mark.parametrize(
    "name", [name for name in FAULTS if "cut" in name or "half" in name or "once" in name]
)
def test_a_cut_answer_is_seen_as_incomplete(origin: Origin, address: Address, name: str) -> None:
    origin.paths["/cut"] = FAULTS[name]
    assert not fetch(address, "/cut", timeout=1).complete


def test_doubtful_framing_is_no_answer(origin: Origin, address: Address) -> None:
    for name in ("two lengths", "length hex", "length and chunked", "coding gzip", "chunk size junk"):
        origin.paths["/doubtful"] = FAULTS[name]
        with pytest.raises(Broken):
            fetch(address, "/doubtful", timeout=1)


def test_chunked_bodies_come_through(origin: Origin, address: Address) -> None:
    body = origin.put("/chunked", 700_000, chunked=True)
    assert fetch(address, "/chunked").body == body


def test_what_is_smuggled_is_recorded_as_an_exchange(origin: Origin, address: Address) -> None:
    origin.put("/a", 10)
    with RawClient(address) as client:
        client.send(request("/a", body=b"12345") + request("/b"))
        assert client.read().status == 200
        assert client.read().status == 404
    assert origin.journal.targets() == [("GET", "/a"), ("GET", "/b")]


def test_a_crowd_reports_what_it_got(origin: Origin, address: Address) -> None:
    body = origin.put("/crowd", 1000, fields=[("Connection", "close")])
    origin.paths["/crowd"] = FAULTS["length cut by FIN"]
    digest = hashlib.sha256(BODY[:50_000]).hexdigest()
    assert crowd(address, "/crowd", 5)["outcomes"] == {f"sha256 {digest} 50000": 5}
    assert len(body) == 1000


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_installers_accept_the_index_and_refuse_wrong_bytes(index: Index, tmp_path: Path, name: str) -> None:
    program = Path(sys.executable).parent / "uv"
    if name == "uv" and not program.exists():
        pytest.skip("uv is not installed")
    installer: Installer = Pip("pip") if name == "pip" else Uv("uv", program)
    done = installer.install(index.url, tmp_path / "good", "tree", "delta")
    assert done.status == 0, done.output
    assert len(done.packages) == 14
    index.faults.wrong_files.add("alpha-1.1-py3-none-any.whl")
    assert installer.install(index.url, tmp_path / "bad", "alpha").packages == {}
