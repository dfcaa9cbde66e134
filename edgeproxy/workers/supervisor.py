"""The supervisor: starts filler and servers, starts again what ends, and hands on what signals mean.

It serves nothing and runs no event loop: one `select` over links and signals, and steps that last no longer
than their deadline. While a step waits for a child, everything else goes on (`_until`)."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

from edgeproxy.config import Config, Listen
from edgeproxy.configuration.changes import addresses
from edgeproxy.errors import ConfigurationError, StartError
from edgeproxy.node_place import ADMIN, Place
from edgeproxy.node_tls import make_certificate
from edgeproxy.own_log import OWN_LOG
from edgeproxy.proxy.refusers import Refusers
from edgeproxy.relay.table import SharedTable
from edgeproxy.serving.access_log import check_log
from edgeproxy.serving.sockets import Inherited, Listening, bind, remove_path
from edgeproxy.workers.alone import RelayPlace
from edgeproxy.workers.child import run
from edgeproxy.workers.children import Child, Revival, fork, how
from edgeproxy.workers.filler import Filler
from edgeproxy.workers.orders import Done, Failed, Order, Ready, ReloadAsked, Stop
from edgeproxy.workers.server import Server
from edgeproxy.workers.share import workers
from edgeproxy.workers.sockets import of_server

START_SECONDS = 30.0
MARGIN_SECONDS = 5.0  # beyond what a child may take by itself
FILLER = "filler"
FORMER = "former filler"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)


class Supervisor:
    """Of one node with several servers: `bind`, then `start`. `former` is where the program asks that this
    one takes over from."""

    def __init__(self, config: Config, inherited: Inherited, former: Listening | None = None) -> None:
        self.config = config
        self.log = OWN_LOG
        self.table = SharedTable()
        self._refusers = Refusers()
        self.bound: list[Listening] = []
        self.admin: Listening | None = None
        self.children: dict[str, Child] = {}
        self.asked: list[int] = []  # signals not acted on yet
        self.reload_asked: list[bool] = []
        self.is_stopping = False
        self._is_started = False
        self._failure = ""
        self._inherited = inherited
        self._revivals: dict[str, Revival] = {}
        self._due: dict[str, float] = {}  # roles to be filled again, and when
        self._selector = selectors.DefaultSelector()
        self._woken, self._waking = socket.socketpair()
        self._former = former
        self.is_handing_over = False
        self._place = RelayPlace()
        self.path = self._place.path
        self._heir_place: RelayPlace | None = None

    # -- start ---------------------------------------------------------------------------------

    def bind(self) -> None:
        """Bind everything, or take over what is inherited. Raises StartError; nothing is left behind then."""
        listen, admin = self.config.listen, self.config.admin.listen
        copies = workers(self.config.node)
        try:
            check_log(self.config.log)
            for kind, text in addresses(listen):
                taken = self._inherited.take(kind, text)
                self.bound.append(taken or bind(kind, text, listen, copies=copies))
            if admin:
                self.admin = self._inherited.take(ADMIN, admin) or _bind_admin(admin, listen)
            make_certificate(self.config, time.time())
        except (StartError, ConfigurationError):
            self._tidy()
            raise

    def start(self) -> None:
        """Until every process is ready. Raises StartError; nothing is left behind then."""
        try:
            self._listen_to_signals()
            for bound in self._inherited.left():  # nobody listens there any more
                bound.close()
            for role in self._roles():
                self._fork(role)
            self.until(lambda: bool(self._failure) or self._is_ready(), START_SECONDS)
            if self._failure or not self._is_ready():
                raise StartError(self._failure or f"not all processes started in {START_SECONDS:g} s")
            self._is_started = True
        except StartError:
            self.kill()
            raise

    def _is_ready(self) -> bool:
        return all(child.is_ready for child in self.children.values())

    def _roles(self) -> list[str]:
        return [FILLER, *(f"server {number}" for number in range(workers(self.config.node)))]

    def _listen_to_signals(self) -> None:
        for end in (self._woken, self._waking):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda number, _: self.asked.append(number))

    def _fork(self, role: str) -> None:
        child = fork(role, self._main(role), lambda: self._close_for_child(role))
        self.children[role] = child
        self._selector.register(child.link, selectors.EVENT_READ, child)

    def _main(self, role: str) -> Callable[[socket.socket], int]:
        """What a process of this role does."""
        if role == FILLER:
            place = Place(self._place.socket, self.table, admin=self.admin, former=self._former)
            return lambda link: run(lambda: Filler(self.config, place, link, self._tidy).run())
        bound = self._bound_for(role)
        shared = (self.table, self._refusers)
        return lambda link: run(lambda: Server(self.config, bound, self.path, *shared, link).run())

    def _bound_for(self, role: str) -> list[Listening]:
        if role == FILLER:
            return []
        return of_server(self.bound, int(role.rpartition(" ")[2]), workers(self.config.node))

    def _close_for_child(self, role: str) -> None:
        """What a child does not need it must not hold: a socket is closed when nobody has it any more."""
        needed = {listening for bound in self._bound_for(role) for listening in bound.sockets}
        for bound in self.bound:
            for listening in set(bound.sockets) - needed:
                listening.close()
        if role != FILLER:
            self._place.socket.close()
            if self.admin is not None:
                self.admin.close()
        self._selector.close()
        self._woken.close()
        self._waking.close()
        for child in self.children.values():
            child.link.close()

    # -- turns ---------------------------------------------------------------------------------

    def turn(self, seconds: float) -> None:
        """Whatever happens within so long: what children say, and what becomes of them."""
        now = time.monotonic()
        if self._due:
            seconds = max(0.0, min(seconds, min(self._due.values()) - now))
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
            else:
                self._hear(key.data)
        while signal.SIGCHLD in self.asked:  # in place: a signal may come in between
            self.asked.remove(signal.SIGCHLD)
        self._bury()
        for role, due in list(self._due.items()):
            if due <= time.monotonic() and not self.is_stopping:
                del self._due[role]
                self._fork(role)

    def until(self, happened: Callable[[], bool], seconds: float) -> bool:
        """Let things happen until this has, or so long."""
        deadline = time.monotonic() + seconds
        while not happened():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.turn(min(left, 0.5))
        return True

    def _hear(self, child: Child) -> None:
        for order in child.link.receive():
            match order:
                case Ready():
                    child.is_ready = True
                case Failed(text):
                    child.trouble = text
                case Done(trouble):
                    child.answer = trouble
                case ReloadAsked(restart):
                    self.reload_asked.append(restart)
                case _:
                    pass
        if child.link.is_lost:
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.link)

    def _bury(self) -> None:
        """Take note of children that have ended."""
        for role, child in list(self.children.items()):
            try:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = child.pid, 0
            if not pid:
                continue
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(child.link)
            child.link.close()
            del self.children[role]
            if self.is_stopping or role == FORMER or (role == FILLER and self.is_handing_over):
                continue
            if not self._is_started:
                self._failure = child.trouble or f"the {role} ended with {how(status)}"
                continue
            self._due[role] = self._revivals.setdefault(role, Revival()).ended(time.monotonic())
            self.log.error("a process ended", process=role, how=how(status), why=child.trouble)

    def order(self, child: Child, order: Order, seconds: float) -> str:
        """Have a child do something; gives why it has not, "" if it has."""
        child.answer = None
        child.link.send(order)
        self.until(lambda: child.answer is not None or child.link.is_lost, seconds)
        return "it does not answer" if child.answer is None else child.answer

    # -- another program -------------------------------------------------------------------------

    def heir_place(self) -> RelayPlace:
        """Where children of this program will ask the one that takes over. Raises StartError."""
        self._heir_place = RelayPlace()
        return self._heir_place

    def heritage(self) -> list[Listening]:
        """The listening sockets for another program."""
        if self.admin is None:
            return list(self.bound)
        return [*self.bound, self.admin]

    def replace_filler(self) -> None:
        """Begin a new filler; the one there is finishes what it has begun."""
        former = self.children.pop(FILLER, None)
        if former is not None:
            former.role = FORMER
            self.children[former.role] = former
        self._fork(FILLER)
        self.until(lambda: FILLER in self.children and self.children[FILLER].is_ready, START_SECONDS)

    def dismiss_former(self) -> None:
        """A filler that has been replaced may end."""
        former = self.children.get(FORMER)
        if former is not None:
            former.link.send(Stop())

    # -- end -----------------------------------------------------------------------------------

    def servers(self) -> list[Child]:
        return [child for role, child in self.children.items() if role.startswith("server")]

    def close_sockets(self) -> None:
        """Of clients and control plane: nothing can connect any more."""
        for bound in (*self.bound, *([self.admin] if self.admin is not None else [])):
            bound.close()

    def stop(self) -> int:
        """Drain: the servers first, who need the filler for what they are answering."""
        self.is_stopping = True
        seconds = self.config.limits.drain_timeout + MARGIN_SECONDS
        self.close_sockets()
        for child in self.servers():
            child.link.send(Stop())
        self.until(lambda: not self.servers() or self.is_hurried(), seconds)
        filler = self.children.get(FILLER)
        if filler is not None and not self.is_hurried():
            filler.link.send(Stop())
            self.until(lambda: not self.children or self.is_hurried(), seconds)
        is_clean = not self.children
        for bound in (*self.bound, *([self.admin] if self.admin is not None else [])):
            remove_path(bound)
        self.kill()
        return 0 if is_clean else 1

    def is_hurried(self) -> bool:
        """A second signal means now."""
        return any(number in (signal.SIGTERM, signal.SIGINT) for number in self.asked)

    def kill(self) -> None:
        """End what is left, at once."""
        self.is_stopping = True
        for child in self.children.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        self.until(lambda: not self.children, MARGIN_SECONDS)
        self._tidy()

    def _tidy(self) -> None:
        self._place.remove()
        if self._heir_place is not None:
            self._heir_place.remove()


def _bind_admin(text: str, listen: Listen) -> Listening:
    try:
        return bind(ADMIN, text, listen)
    except StartError as error:
        raise StartError(f"admin.listen: {error}") from None
