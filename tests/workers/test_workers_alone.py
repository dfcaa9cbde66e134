"""Another configuration, and another program, without a failed request: with one process and with several."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from stands.node import Node, eventually
from stands.origin import Origin, counted
from stands.raw_client import Broken, RawClient, request

Serve = Callable[..., Node]
REFUSED = "the former configuration stays in force"
FOR_LONG = [("Cache-Control", "max-age=3600")]

pytestmark = pytest.mark.parametrize("servers", [1, 2])


class Load:
    """Clients that ask without a rest, on connections kept and on fresh ones; what went wrong is kept."""

    def __init__(self, node: Node, targets: list[str], kept: int, fresh: int) -> None:
        self._address = node.http
        self._targets = targets
        self._over = threading.Event()
        self.failures: list[str] = []
        self.answers = 0
        self._threads = [
            threading.Thread(target=self._ask, args=(number, number >= kept))
            for number in range(kept + fresh)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int, is_fresh: bool) -> None:
        while not self._over.is_set():
            try:
                self._connection(number, is_fresh)
            except (OSError, Broken) as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def _connection(self, number: int, is_fresh: bool) -> None:
        with RawClient(self._address, 30.0) as client:
            while not self._over.is_set():
                target = self._targets[number % len(self._targets)]
                client.send(request(target))
                answer = client.read()
                if answer.status != 200 or not answer.complete:
                    self.failures.append(f"{target}: {answer.status} {answer.ended} {answer.body[:80]!r}")
                    return
                self.answers += 1
                if is_fresh or answer.get("connection") == "close":
                    return
                time.sleep(0.005)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)


@contextmanager
def load(node: Node, targets: list[str], kept: int = 6, fresh: int = 3) -> Iterator[Load]:
    running = Load(node, targets, kept, fresh)
    try:
        assert eventually(lambda: running.answers > 50)
        yield running
        before = running.answers
        assert eventually(lambda: running.answers > before + 50)
    finally:
        running.end()
    assert running.failures == []


@pytest.fixture
def started(serve: Serve, servers: int) -> Callable[..., Node]:
    def start(**sections: Any) -> Node:
        return serve(node={"workers": servers}, **sections)

    return start


def test_a_changed_configuration_is_taken_over_and_no_request_fails(
    started: Serve, origin: Origin, tmp_path: Any
) -> None:
    origin.paths.update({"/a": counted(FOR_LONG), "/b": counted(FOR_LONG)})
    slow = origin.put("/slow", 1_000_000, piece=50_000, piece_delay=0.1)
    node = started()
    files = {"name": "files", "mount": "/", "origin": origin.url}
    with load(node, ["/a", "/b"]), RawClient(node.http) as downloading:
        downloading.send(request("/slow"))
        assert downloading.read_some(1) == b"H"
        answer = node.reload({"site": [files, {**files, "name": "more", "mount": "/more"}]})
        assert answer == {"reloaded": True, "changed": ["site.more"], "needs_restart": []}
        assert node.get("/more/a").status == 200
        answer = node.reload({"limits": {"uri": 200}, "cache": {"memory": "32MiB"}})
        assert (answer["changed"], answer["needs_restart"]) == (["limits.uri"], ["cache.memory"])
        assert node.get("/" + "x" * 300).status == 414
        assert node.process is not None
        for number in range(12):  # over and over, every other time a bad one
            if number % 2:
                seen = node.stderr.count(REFUSED)
                node.write("[listen]\nhttp = [")
                node.process.send_signal(signal.SIGHUP)
                assert eventually(lambda seen=seen: node.stderr.count(REFUSED) > seen)
            else:
                node.reload({"site": [{**files, "ttl_max": f"{100 + number}s"}]})
        assert node.get("/more/a").status != 200
        downloading._buffer = b"H" + downloading._buffer
        assert downloading.read().body == slow


def test_a_bad_configuration_leaves_the_old_one_in_force_and_says_why(started: Serve, origin: Origin) -> None:
    origin.paths["/a"] = counted(FOR_LONG)
    node = started()
    before = node.get("/a").body
    good = dict(node.sections)
    for sections, why in (
        ({"limits": {"uri": "many"}}, "limits.uri"),
        ({"site": [{"name": "files", "mount": "/", "kind": "nonsense"}]}, "site.files.kind"),
        ({"listen": {"http": [f"127.0.0.1:{node.admin[1]}"]}}, "cannot listen at"),
        ({"log": {"access_file": "/absent/file"}}, "/absent/file"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            node.reload(sections)
        assert refused.value.code == 409
        assert why in json.loads(refused.value.read())["error"]
        assert why in node.stderr
        node.sections = dict(good)
        assert node.get("/a").body == before
    assert node.reload()["changed"] == []
    assert node.get("/a").body == before
    assert "Traceback" not in node.stderr


def test_listeners_come_and_go(started: Serve, origin: Origin, tmp_path: Any) -> None:
    body = origin.put("/a", 100)
    node = started()
    path = tmp_path / "clients"
    first = node.sections["listen"]["http"]
    with RawClient(node.http) as client:
        client.send(request("/a"))
        assert client.read().body == body
        node.reload({"listen": {"http": [*first, "localhost:0", f"unix:{path}"]}})
        assert path.is_socket()
        node.reload({"listen": {"http": [f"unix:{path}"]}})
        with pytest.raises(ConnectionRefusedError):
            RawClient(node.http)
        client.send(request("/a"))  # a connection that is open is answered once more
        answer = client.read()
        assert (answer.body, answer.get("connection")) == (body, "close")
        node.reload({"listen": {"http": ["127.0.0.1:0"]}})
        assert not path.exists()


def test_a_log_that_was_moved_away_begins_anew(started: Serve, origin: Origin) -> None:
    origin.put("/a", 100)
    node = started()
    node.get("/a")
    assert eventually(lambda: len(node.access_log()) == 1)
    node.access_file.rename(node.access_file.with_suffix(".1"))
    assert node.process is not None
    node.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: node.access_file.exists())
    assert eventually(lambda: node.get("/a").status == 200 and len(node.access_log()) > 0)


def test_what_a_site_has_stored_and_what_runs_outlives_a_reload(started: Serve, origin: Origin) -> None:
    body = origin.put("/slow", 3_000_000, piece=100_000, piece_delay=0.05)
    node = started()
    with RawClient(node.http) as first:
        first.send(request("/slow"))
        assert first.read_some(1) == b"H"
        node.reload({"limits": {"ranges": 3}, "upstream": {"connect_timeout": "2s"}})
        late = node.get("/slow")  # joins what was begun before
        assert late.body == body
        first._buffer = b"H" + first._buffer
        assert first.read().body == body
    assert origin.journal.count("/slow") == 1


def test_another_program_takes_over_and_no_request_fails(started: Serve, origin: Origin) -> None:
    origin.paths.update({"/a": counted(FOR_LONG), "/b": counted(FOR_LONG)})
    origin.put("/cold", 100_000, cache_control="no-store")
    stored = origin.put("/stored", 30_000_000)
    slow = origin.put("/slow", 2_000_000, piece=50_000, piece_delay=0.05)
    node = started()
    first = node.get("/a").body
    node.get("/stored")
    with (
        load(node, ["/a", "/b", "/cold"]) as running,
        RawClient(node.http) as downloading,
        RawClient(node.http, receive_buffer=65_536) as reading,
    ):
        downloading.send(request("/slow"))
        reading.send(request("/stored"))
        assert downloading.read_some(1) == reading.read_some(1) == b"H"
        before = running.answers
        former = node.pid
        os.kill(former, signal.SIGUSR2)
        assert eventually(lambda: "another process has taken over" in node.stderr)
        assert eventually(lambda: running.answers > before + 50)
        for client, body in ((downloading, slow), (reading, stored)):  # they end in the old process
            client._buffer = b"H" + client._buffer
            assert client.read().body == body
        node.replaced()
        assert node.pid != former
        assert node.get("/a").body == first  # the store is the same
    assert origin.journal.count("/a") == 1
    node.purge("all")
    assert node.get("/a").body != first


def test_the_control_plane_starts_another_program_too(started: Serve, origin: Origin) -> None:
    origin.paths["/a"] = counted(FOR_LONG)
    node = started()
    first = node.get("/a").body
    for _ in range(2):  # one after the other
        with RawClient(node.http) as idle:
            idle.send(request("/a"))
            assert idle.read().body == first
            answer = node.reload({"cache": {"memory": "32MiB"}}, exec=True)
            assert answer["restarted"]
            idle.send(request("/a"))  # an idle connection is not closed in the client's face
            again = idle.read()
            assert (again.body, again.get("connection")) == (first, "close")
        node.replaced()
        assert node.pid == answer["pid"]
        assert node.get("/a").body == first
        assert node.status()["store"]["memory_bytes_max"] == 32 << 20


def test_a_program_that_cannot_start_leaves_the_old_one_at_work(started: Serve, origin: Origin) -> None:
    origin.paths["/a"] = counted(FOR_LONG)
    node = started()
    with load(node, ["/a"]):
        former = node.pid
        config = node.directory / "edge.toml"
        good = config.read_text()
        for text, why in (
            ("nonsense = 1", "nonsense"),
            (good.replace('"127.0.0.1:0"', f'"127.0.0.1:{node.admin[1]}"', 1), "cannot listen at"),
            (
                good.replace("[log]", "[log]\n").replace("access.log", "absent/access.log"),
                "absent/access.log",
            ),
        ):
            node.write(text)
            with pytest.raises(urllib.error.HTTPError) as refused:
                node.ask_admin("/api/v1/reload", "POST", {"exec": True})
            assert refused.value.code == 409
            assert why in json.loads(refused.value.read())["error"]
        node.write(good)
        assert node.pid == former
        node.check()
        node.purge("all")
        assert node.get("/a").status == 200
    os.kill(former, signal.SIGUSR2)
    node.replaced()
    assert node.get("/a").status == 200


def test_what_is_being_filled_ends_in_the_old_process_with_the_right_bytes(
    started: Serve, origin: Origin
) -> None:
    whole = origin.put("/whole", 3_000_000, piece=100_000, piece_delay=0.06, etag="", ranges=False)
    parts = origin.put("/parts", 6_000_000, piece=100_000, piece_delay=0.03)
    node = started()
    with RawClient(node.http) as one, RawClient(node.http) as other:
        one.send(request("/whole"))
        other.send(request("/parts"))
        assert one.read_some(1) == other.read_some(1) == b"H"
        time.sleep(0.3)
        os.kill(node.pid, signal.SIGUSR2)
        assert eventually(lambda: "another process has taken over" in node.stderr)
        one._buffer, other._buffer = b"H" + one._buffer, b"H" + other._buffer
        assert one.read().body == whole
        assert other.read().body == parts
    node.replaced()
    for target, body in (("/whole", whole), ("/parts", parts)):
        assert node.get(target).body == body
