"""A node as one process: what signals mean to it, and how it hands over to another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeproxy.config import Config
from edgeproxy.configuration.changes import Changes
from edgeproxy.errors import ConfigurationError, StartError
from edgeproxy.node import Node
from edgeproxy.node_parts import load_all
from edgeproxy.node_place import ADMIN, Place
from edgeproxy.own_log import OWN_LOG
from edgeproxy.serving.handshakes import quiet_handshakes
from edgeproxy.serving.listener import Bound
from edgeproxy.serving.sockets import Inherited, Listening
from edgeproxy.workers.handover import RELAY, Predecessor, Successor

Again = Callable[[], Config]
Announce = Callable[[Bound, str], None]


class RelayPlace:
    """A folder nobody else can enter, with a socket at which one process asks another."""

    def __init__(self) -> None:
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="edgeproxy-"))
            self.path = str(self._folder / "filler")
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(self.path)
            self.socket.listen(4096)
        except OSError as error:
            raise StartError(f"no socket can be made in {tempfile.gettempdir()}: {error.strerror}") from error

    @property
    def bound(self) -> Listening:
        """For who is to inherit it."""
        return Listening(RELAY, RELAY, self.path, (self.socket,))

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def told(found: Changes) -> dict[str, Any]:
    """What came of a reload, for the control plane."""
    return {"reloaded": True, "changed": list(found.now), "needs_restart": list(found.later)}


class Alone:
    """`again` reads the configuration again; `announce` tells that the node is ready."""

    def __init__(
        self, config: Config, again: Again, announce: Announce, predecessor: Predecessor | None
    ) -> None:
        self._again, self._announce, self._predecessor = again, announce, predecessor
        self._log = OWN_LOG
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._signals = 0
        self._heir: Successor | None = None  # it sees our end of the link, and when that is gone
        self._place: RelayPlace | None = None
        self._node = Node(config, self._inherited(config), reload=self._reload)

    def _inherited(self, config: Config) -> Place:
        if self._predecessor is None:
            return Place()
        inherited = Inherited(self._predecessor.bound)
        return Place(
            former=inherited.take(RELAY, RELAY),
            inherited=inherited,
            admin=inherited.take(ADMIN, config.admin.listen),
        )

    async def run(self) -> int:
        """Until SIGTERM, or until another process has taken over. Raises StartError, ConfigurationError."""
        self._listen_to_signals()
        try:
            await self._start()
            await self._stopping.wait()
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await self._end()
        return 0

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(quiet_handshakes)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._signalled, False)
        loop.add_signal_handler(signal.SIGUSR2, self._signalled, True)

    def _stop(self) -> None:
        self._signals += 1
        self._stopping.set()
        if self._signals > 1:  # a second signal means now
            sys.exit(1)

    def _signalled(self, restart: bool) -> None:
        self._node.tasks.start(self._reload_and_log(restart), "reload")

    async def _start(self) -> None:
        old = self._predecessor
        if old is None:
            self._announce(*await self._node.start())
            return
        await self._node.bind()
        await asyncio.to_thread(load_all)  # a program that cannot be loaded takes nothing over
        old.tell_loaded()
        await asyncio.to_thread(old.wait_go)
        self._announce(*await self._node.start())
        old.tell_serving()
        asyncio.get_running_loop().add_reader(old.fileno(), self._old_is_gone)

    def _old_is_gone(self) -> None:
        old = self._predecessor
        assert old is not None
        asyncio.get_running_loop().remove_reader(old.fileno())
        self._node.tasks.start(self._node.close_former(), "close the relay")

    async def _end(self) -> None:
        if self._heir is not None and self._place is not None:
            await self._node.leave(self._place.path)
        else:
            await self._node.stop()
        if self._place is not None:
            self._place.remove()

    # -- another configuration, another program --------------------------------------------------

    async def _reload_and_log(self, restart: bool) -> None:
        with contextlib.suppress(ConfigurationError, StartError):
            await self._reload(restart)

    async def _reload(self, restart: bool) -> dict[str, Any]:
        """Raises ConfigurationError or StartError, one line saying why nothing has changed."""
        async with self._reloading:
            if self._heir is not None or self._stopping.is_set():
                raise StartError("this process is about to end")
            try:
                if restart:
                    return await self._hand_over()
                config = await asyncio.to_thread(self._again)
                found = await self._node.reload(config)
            except (ConfigurationError, StartError) as error:
                what = "not restarted" if restart else "not reloaded: the former configuration stays in force"
                self._log.error(what, why=str(error))
                raise
            if found.touches("log"):
                OWN_LOG.configure(config.log.level)
            self._log.info("reloaded", changed=found.now, needs_restart=found.later)
            return told(found)

    async def _hand_over(self) -> dict[str, Any]:
        """Have a new process take over. Raises StartError, and then this one goes on."""
        place = self._place = RelayPlace()
        try:
            successor = await asyncio.to_thread(Successor)
        except StartError:
            place.remove()
            raise
        try:
            await asyncio.to_thread(successor.offer, [*self._node.heritage, place.bound])
            await asyncio.to_thread(successor.wait_loaded)
        except StartError:
            await asyncio.to_thread(successor.kill)
            place.remove()
            raise
        try:
            self._node.pause()
            await self._node.release()
            await asyncio.to_thread(successor.go)
            await asyncio.to_thread(successor.wait_serving)
        except StartError:
            await asyncio.to_thread(successor.kill)
            try:
                await self._node.take_up()
            except StartError:
                self._stopping.set()  # whoever started us may start us again
                raise
            place.remove()
            raise
        place.socket.close()
        successor.part()
        self._heir = successor
        self._log.info("another process has taken over", pid=successor.pid)
        asyncio.get_running_loop().call_later(0.1, self._stopping.set)  # the answer leaves first
        return {"restarted": True, "pid": successor.pid}
