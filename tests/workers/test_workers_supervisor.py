"""Processes end, in every way there is; the node does not."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stands.node import READY_SECONDS, Node, eventually
from stands.origin import Origin, counted
from stands.raw_client import PATIENCE_SECONDS, RawClient, request

Serve = Callable[..., Node]
Connect = Callable[..., list[RawClient]]
FOR_LONG = [("Cache-Control", "max-age=3600")]


def get(client: RawClient, target: str) -> Any:
    client.send(request(target))
    return client.read()


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_server_that_is_killed_is_there_again_and_the_others_were_not_disturbed(
    serve: Serve, origin: Origin, connect: Connect
) -> None:
    body = origin.put("/a", 1000)
    node = serve()
    clients = connect(node)
    for client in clients:
        get(client, "/a")
    killed = node.pids("server 0")["server 0"]
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: node.pids("server 0").get("server 0", killed) != killed)
    answers = [get(client, "/a") for client in clients]
    kept = [answer for answer in answers if not answer.ended]
    assert 0 < len(kept) < len(clients)
    assert all(answer.body == body for answer in kept)
    # What connected meanwhile has waited in the socket, which nobody closed.
    assert all(node.get("/a").body == body for _ in range(10))
    assert origin.journal.count("/a") == 1
    assert "a process ended" in node.stderr


def test_while_the_filler_is_away_what_servers_remember_is_answered_and_the_rest_waits(
    serve: Serve, origin: Origin, connect: Connect
) -> None:
    origin.paths["/hot"] = counted(FOR_LONG)
    stored = origin.put("/stored", 300_000)
    node = serve()
    clients = connect(node)
    hot = {get(client, "/hot").body for client in clients}
    node.get("/stored")
    filler = node.pids("filler")["filler"]
    os.kill(filler, signal.SIGSTOP)
    assert {get(client, "/hot").body for client in clients} == hot
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(node.get("/stored")))
    waiting.start()
    os.kill(filler, signal.SIGKILL)
    assert {get(client, "/hot").body for client in clients} == hot
    waiting.join(PATIENCE_SECONDS)
    assert (answers[0].status, answers[0].body) == (200, stored)
    assert eventually(lambda: node.pids("filler").get("filler", filler) != filler)
    # The new one has never heard of what was remembered of the former: it is asked once more.
    assert eventually(lambda: node.get("/hot").body == next(iter(hot)))
    node.purge("all")
    after = {get(client, "/hot").body for client in clients}
    assert len(after) == 1
    assert after != hot
    assert node.status()["node"]["ready"]


def test_a_body_the_filler_was_sending_breaks_off_with_it(serve: Serve, origin: Origin) -> None:
    origin.put("/slow", 5_000_000, piece=50_000, piece_delay=0.05, etag="")
    node = serve()
    with RawClient(node.http) as client:
        client.send(request("/slow"))
        assert client.read_some(1000)
        os.kill(node.pids("filler")["filler"], signal.SIGKILL)
        assert client.wait_end() == "reset"
    assert eventually(lambda: node.get("/absent").status == 404)


def test_without_a_filler_a_request_is_told_to_come_again(serve: Serve, origin: Origin) -> None:
    node = serve()
    filler = node.pids("filler")["filler"]
    os.kill(filler, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = node.get("/a")
        assert (answer.status, answer.get("retry-after")) == (503, "1")
        assert 1.0 < time.monotonic() - began < PATIENCE_SECONDS
    finally:
        os.kill(filler, signal.SIGCONT)


def test_when_the_supervisor_is_killed_all_end_and_leave_nothing(serve: Serve, tmp_path: Path) -> None:
    node = serve()
    pids = list(node.pids().values())
    assert len(pids) == 3
    folders = [
        entry.rpartition(" ")[2]
        for entry in Path("/proc/net/unix").read_text().split("\n")
        if entry.endswith("/filler")
    ]
    node.kill()
    assert eventually(lambda: all(is_gone(pid) for pid in pids))
    assert any(not Path(path).parent.exists() for path in folders)
    again = node.start()  # the port is free, the store unlocked
    assert again < READY_SECONDS


def test_a_signal_drains_all_processes_and_ends_with_0(serve: Serve, origin: Origin) -> None:
    body = origin.put("/slow", 2_000_000, piece=100_000, piece_delay=0.1)
    stored = origin.put("/stored", 30_000_000)
    node = serve()
    node.get("/stored")
    pids = list(node.pids().values())
    with RawClient(node.http) as cold, RawClient(node.http, receive_buffer=65_536) as warm:
        cold.send(request("/slow"))
        warm.send(request("/stored"))
        assert cold.read_some(1)
        assert warm.read_some(1)
        assert node.process is not None
        node.process.send_signal(signal.SIGTERM)
        assert eventually(node.refuses)
        cold._buffer, warm._buffer = b"H" + cold._buffer, b"H" + warm._buffer
        assert cold.read().body == body
        assert warm.read().body == stored
    assert node.process.wait(PATIENCE_SECONDS) == 0
    node.process = None
    node.check()
    assert all(is_gone(pid) for pid in pids)


def test_a_second_signal_means_now(serve: Serve, origin: Origin) -> None:
    origin.put("/slow", 2_000_000, piece=1000, piece_delay=0.1)
    node = serve()
    pids = list(node.pids().values())
    with RawClient(node.http) as client:
        client.send(request("/slow"))
        assert client.read_some(1)
        process = node.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert eventually(node.refuses)  # two signals at once would be one
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 1
    assert eventually(lambda: all(is_gone(pid) for pid in pids))
    node.process = None


def test_what_cannot_start_is_one_line_and_nothing_is_left(
    serve: Serve, start_node: Any, origin: Origin, tmp_path: Path
) -> None:
    node = serve()
    taken = f"{node.http[0]}:{node.http[1]}"
    for sections, line in (
        ({"listen": {"http": [taken]}}, f"cannot listen at {taken}"),
        ({"admin": {"listen": f"{node.admin[0]}:{node.admin[1]}"}}, "admin.listen: cannot listen at"),
        ({"cache": {"directory": node.cache}}, "is used by another process"),
        ({"log": {"access_file": "/absent/access.log"}}, "access log /absent/access.log"),
    ):
        other = start_node(
            [{"name": "files", "mount": "/", "origin": origin.url}],
            {"node": {"workers": 2}, **sections},
            ready=False,
        )
        process = other.spawn()
        assert process.wait(READY_SECONDS) == 1
        other.process = None
        last = other.stderr.strip().split("\n")[-1]
        assert last.startswith("edgeproxy: ")
        assert line in last


def test_unix_sockets_are_served_by_all_and_removed_at_the_end(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "clients"
    node = serve(listen={"http": ["127.0.0.1:0", f"unix:{path}"]}, admin={"listen": "127.0.0.1:0"})
    assert path.is_socket()
    killed = node.pids("server 1")["server 1"]
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: node.pids("server 1").get("server 1", killed) != killed)
    assert path.is_socket()
    node.stop()
    assert not path.exists()
