"""How a new program takes over from one that runs: both sides of the talk between them.

    old                                                        new (the same command line)
    Inherit ... Offered  ->  sockets, and where to ask on        reads its configuration, binds what it lacks
                         <-  Loaded, or Failed: why              the old one has lost nothing
    accepts nothing, lets the store go
    Go                   ->                                      opens the store, accepts
                         <-  Serving, or Failed                  the old one takes up again
    answers what is open, once more, by asking the new one; ends

The new process finds its end of the socket pair by a variable of its environment. Everything blocks; in a
process that serves, use a thread."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, MutableMapping, Sequence

from edgeproxy.errors import StartError
from edgeproxy.serving.sockets import Listening
from edgeproxy.workers.link import Link
from edgeproxy.workers.orders import Failed, Go, Inherit, Loaded, Offered, Order, Serving

VARIABLE = "EDGEPROXY_HANDOVER"
LOAD_SECONDS = 30.0
SERVE_SECONDS = 30.0
RELAY = "relay"  # what the socket is called where the new process is asked by the old one
_TURN_SECONDS = 0.1


def _nothing() -> None:
    return None


class Successor:
    """The new program, as the old one sees it. Raises StartError with one line when it fails."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {**os.environ, VARIABLE: str(theirs.fileno())}
            command = [sys.executable, *sys.orig_argv[1:]]
            try:
                self._process = subprocess.Popen(
                    command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
                )
            except OSError as error:
                ours.close()
                raise StartError(f"the new process cannot be started: {error.strerror}") from error
        self._link = Link(ours)
        self._said: list[Order] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def offer(self, bound: Sequence[Listening]) -> None:
        """Give it these sockets."""
        for one in bound:
            for listening in one.sockets:
                self._link.send(Inherit(one.kind, one.text, one.name), listening.fileno())
        self._link.send(Offered())

    def wait_loaded(self, meanwhile: Callable[[], None] = _nothing) -> None:
        self._wait(Loaded, LOAD_SECONDS, meanwhile)

    def go(self) -> None:
        self._link.send(Go())

    def wait_serving(self, meanwhile: Callable[[], None] = _nothing) -> None:
        self._wait(Serving, SERVE_SECONDS, meanwhile)

    def _wait(self, kind: type[Order], seconds: float, meanwhile: Callable[[], None]) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            while self._said:
                said = self._said.pop(0)
                if isinstance(said, kind):
                    return
                if isinstance(said, Failed):
                    raise StartError(f"the new process failed: {said.text}")
            if self._link.is_lost:
                raise StartError(f"the new process ended: {self._how()}; its standard error says why")
            self._said += self._link.wait(_TURN_SECONDS)
            meanwhile()
        raise StartError(f"the new process was not ready within {seconds:g} s")

    def _how(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"status {self._process.wait(2.0)}"
        return "it closed its link"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._link.close()

    def part(self) -> None:
        """It is on its own now; our end of the link stays open until this process ends."""
        self._process.returncode = 0  # nobody waits for it here


class Predecessor:
    """The old program, as the new one sees it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.bound: list[Listening] = []

    def fileno(self) -> int:
        return self._link.fileno()

    def receive(self) -> None:
        """What is offered. Raises StartError if the old program is gone."""
        found: dict[Inherit, list[socket.socket]] = {}
        for said, listening in self._link.offered(LOAD_SECONDS):
            listening.setblocking(False)
            found.setdefault(said, []).append(listening)
        if self._link.is_lost:
            raise StartError("whoever started this process is gone")
        self.bound = [Listening(of.kind, of.text, of.name, tuple(sockets)) for of, sockets in found.items()]

    def tell_loaded(self) -> None:
        self._link.send(Loaded())

    def wait_go(self) -> None:
        """Raises StartError if the old program is gone."""
        deadline = time.monotonic() + SERVE_SECONDS
        while time.monotonic() < deadline and not self._link.is_lost:
            if any(isinstance(said, Go) for said in self._link.wait(_TURN_SECONDS)):
                return
        raise StartError("whoever started this process does not let go")

    def tell_serving(self) -> None:
        self._link.send(Serving())

    def tell_failed(self, text: str) -> None:
        self._link.send(Failed(text))

    def wait_end(self) -> None:
        """Until the old program has ended."""
        while not self._link.is_lost:
            self._link.wait(60.0)


def predecessor(environ: MutableMapping[str, str]) -> Predecessor | None:
    """Whom this process was started to take over from, if anybody; the variable is taken out."""
    text = environ.pop(VARIABLE, "")
    if not text.isdecimal():
        return None
    try:
        os.set_inheritable(int(text), False)
        return Predecessor(Link(socket.socket(fileno=int(text))))
    except OSError:
        return None
