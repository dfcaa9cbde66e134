"""The talk between a program and the one that takes over from it."""

from __future__ import annotations

import os
import socket
import sys
import threading

import pytest

from edgeproxy.errors import StartError
from edgeproxy.serving.sockets import Listening
from edgeproxy.workers.handover import VARIABLE, Predecessor, Successor, predecessor
from edgeproxy.workers.link import Link

NEW = """
import os
from edgeproxy.workers.handover import predecessor
old = predecessor(os.environ)
old.receive()
{}
"""
SERVES = """
assert [(one.kind, one.text, len(one.sockets)) for one in old.bound] == [("http", "h:0", 2)]
old.tell_loaded()
old.wait_go()
old.bound[0].sockets[0].accept()[0].sendall(b"from the new one")
old.tell_serving()
"""


def start(monkeypatch: pytest.MonkeyPatch, code: str) -> Successor:
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", NEW.format(code)])
    return Successor()


def test_a_new_program_gets_the_sockets_and_serves_when_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    address = sockets[0].getsockname()
    successor = start(monkeypatch, SERVES)
    successor.offer([Listening("http", "h:0", "h:1", tuple(sockets))])
    successor.wait_loaded()
    with socket.create_connection(address) as client:  # waits in the socket that both have
        for each in sockets:
            each.close()
        successor.go()
        successor.wait_serving()
        assert client.recv(100) == b"from the new one"
    os.waitpid(successor.pid, 0)
    successor.part()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("old.tell_failed('listen.http: taken')", "the new process failed: listen.http: taken"),
        ("raise SystemExit(3)", "the new process ended: status 3"),
        ("import no_such_module", "the new process ended: status 1"),
    ],
)
def test_a_new_program_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], code: str, why: str
) -> None:
    successor = start(monkeypatch, code)
    successor.offer([])
    with pytest.raises(StartError, match=why):
        successor.wait_loaded()
    successor.kill()


def test_a_program_that_cannot_be_run_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/absent/python")
    with pytest.raises(StartError, match="cannot be started"):
        Successor()


def test_the_new_program_notices_when_the_old_one_is_gone() -> None:
    ours, theirs = socket.socketpair()
    new = Predecessor(Link(theirs))
    ours.close()
    with pytest.raises(StartError, match="is gone"):
        new.receive()
    with pytest.raises(StartError):
        new.wait_go()
    ended = threading.Thread(target=new.wait_end)
    ended.start()
    ended.join(5)
    assert not ended.is_alive()


def test_the_variable_is_taken_out_and_nonsense_in_it_is_nobody() -> None:
    ours, theirs = socket.socketpair()
    environ = {VARIABLE: str(theirs.detach()), "OTHER": "1"}
    assert predecessor(environ) is not None
    assert environ == {"OTHER": "1"}
    for text in ("", "x", "-1", "99999"):
        assert predecessor({VARIABLE: text}) is None
    ours.close()
