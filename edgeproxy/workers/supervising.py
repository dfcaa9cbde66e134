"""A node as several processes: what signals and the control plane mean to its supervisor, reload, and how it
hands over to another program."""

from __future__ import annotations

import json
import signal
from typing import Any

import msgspec

from edgeproxy.config import Config
from edgeproxy.configuration.changes import Changes, addresses, changes
from edgeproxy.errors import ConfigurationError, StartError
from edgeproxy.node_parts import load_all
from edgeproxy.own_log import OWN_LOG
from edgeproxy.serving.access_log import check_log
from edgeproxy.serving.listener import HTTPS, names
from edgeproxy.serving.sockets import Inherited, Listening, bind, remove_path
from edgeproxy.workers.alone import Again, Announce, told
from edgeproxy.workers.children import Child
from edgeproxy.workers.handover import RELAY, Predecessor, Successor
from edgeproxy.workers.orders import (
    Inherit,
    Leave,
    Pause,
    Reconfigure,
    Release,
    ReloadAnswered,
    Resume,
    Stop,
)
from edgeproxy.workers.share import workers
from edgeproxy.workers.sockets import of_server
from edgeproxy.workers.supervisor import FILLER, MARGIN_SECONDS, Supervisor

ORDER_SECONDS = 10.0


def supervise(config: Config, again: Again, announce: Announce, old: Predecessor | None) -> int:
    """Run until SIGTERM, or another program has taken over; gives the exit status. Raises StartError."""
    inherited = Inherited(old.bound if old is not None else ())
    supervisor = Supervisor(config, inherited, former=inherited.take(RELAY, RELAY))
    supervisor.bind()
    if old is not None:
        load_all()  # a program that cannot be loaded takes nothing over
        old.tell_loaded()
        old.wait_go()
    supervisor.start()
    admin = supervisor.admin.name if supervisor.admin is not None else ""
    announce(names(supervisor.bound), admin)
    if old is not None:
        old.tell_serving()
    return _Supervising(supervisor, again).run()


class _Supervising:
    def __init__(self, supervisor: Supervisor, again: Again) -> None:
        self._supervisor = supervisor
        self._again = again
        self._log = supervisor.log
        self._heir: Successor | None = None  # it sees our end of the link, and when that is gone
        self._heir_path = ""

    def run(self) -> int:
        supervisor = self._supervisor
        while True:
            supervisor.turn(60.0)
            while supervisor.asked or supervisor.reload_asked:
                if supervisor.is_hurried():  # also while something else was being done
                    supervisor.asked.clear()
                    return supervisor.stop()
                if self._act():
                    return self._leave()

    def _act(self) -> bool:
        """Do what was asked first; whether another program has taken over."""
        supervisor = self._supervisor
        by_admin = not supervisor.asked
        if by_admin:
            restart = supervisor.reload_asked.pop(0)
        else:
            restart = supervisor.asked.pop(0) == signal.SIGUSR2
        asker = supervisor.children.get(FILLER)
        document: dict[str, Any] = {}
        trouble = ""
        try:
            document = self._hand_over() if restart else self._reload()
        except (ConfigurationError, StartError) as error:
            trouble = str(error)
            what = "not restarted" if restart else "not reloaded: the former configuration stays in force"
            self._log.error(what, why=trouble)
        if by_admin and asker is not None:
            asker.link.send(ReloadAnswered(json.dumps(document).encode(), trouble))
        supervisor.dismiss_former()
        return restart and not trouble

    # -- another configuration -------------------------------------------------------------------

    def _reload(self) -> dict[str, Any]:
        """Raises ConfigurationError or StartError; nothing has changed then."""
        supervisor = self._supervisor
        found = changes(supervisor.config, self._again())
        check_log(found.config.log)
        added = self._bind_added(found.config)
        encoded = msgspec.msgpack.encode(found.config)
        filler = supervisor.children.get(FILLER)
        if filler is None:
            trouble = "the filler is starting again; try later"
        else:
            trouble = supervisor.order(filler, Reconfigure(encoded), ORDER_SECONDS)
        if trouble:
            for bound in added:
                bound.close()
                remove_path(bound)
            raise StartError(trouble)
        self._take_over(found, added)
        for number, child in self._numbered():
            for bound in of_server(added, number, workers(supervisor.config.node)):
                for listening in bound.sockets:
                    child.link.send(Inherit(bound.kind, bound.text, bound.name), listening.fileno())
            trouble = supervisor.order(child, Reconfigure(encoded), ORDER_SECONDS)
            if trouble:
                self._log.error("a server keeps its former configuration", process=child.role, why=trouble)
        self._log.info("reloaded", changed=found.now, needs_restart=found.later)
        return told(found)

    def _bind_added(self, config: Config) -> list[Listening]:
        had = [(bound.kind, bound.text) for bound in self._supervisor.bound]
        added: list[Listening] = []
        try:
            for address in addresses(config.listen):
                if address in had:
                    had.remove(address)
                else:
                    added.append(bind(*address, config.listen, copies=workers(config.node)))
            if any(one.kind == HTTPS for one in added) and not self._supervisor.config.listen.https:
                raise StartError("the first https address needs a restart")
        except StartError:
            for bound in added:
                bound.close()
            raise
        return added

    def _take_over(self, found: Changes, added: list[Listening]) -> None:
        """From now on children that start again start so."""
        supervisor = self._supervisor
        supervisor.config = found.config
        if found.touches("log"):
            OWN_LOG.configure(found.config.log.level)
        wanted = addresses(found.config.listen)
        for bound in [*supervisor.bound]:
            if (bound.kind, bound.text) in wanted:
                wanted.remove((bound.kind, bound.text))
            else:
                supervisor.bound.remove(bound)
                bound.close()
                remove_path(bound)
        supervisor.bound += added

    def _numbered(self) -> list[tuple[int, Child]]:
        return [(int(child.role.rpartition(" ")[2]), child) for child in self._supervisor.servers()]

    # -- another program -------------------------------------------------------------------------

    def _hand_over(self) -> dict[str, Any]:
        """Raises StartError, and then this program goes on."""
        supervisor = self._supervisor
        place = supervisor.heir_place()
        try:
            successor = Successor()
        except StartError:
            place.remove()
            raise
        try:
            successor.offer([*supervisor.heritage(), place.bound])
            successor.wait_loaded(lambda: supervisor.turn(0.0))
        except StartError:
            successor.kill()
            place.remove()
            raise
        try:
            self._let_go()
            successor.go()
            successor.wait_serving(lambda: supervisor.turn(0.0))
        except StartError:
            successor.kill()
            self._take_up()
            place.remove()
            raise
        place.socket.close()
        successor.part()
        self._heir, self._heir_path = successor, place.path
        self._log.info("another process has taken over", pid=successor.pid)
        return {"restarted": True, "pid": successor.pid}

    def _let_go(self) -> None:
        """Raises StartError if the filler does not let the store go."""
        supervisor = self._supervisor
        supervisor.is_handing_over = True
        for child in supervisor.servers():
            supervisor.order(child, Pause(), ORDER_SECONDS)
        filler = supervisor.children.get(FILLER)
        if filler is not None:
            trouble = supervisor.order(filler, Release(), ORDER_SECONDS)
            if trouble:
                raise StartError(f"the filler: {trouble}")

    def _take_up(self) -> None:
        """Go on as before: a new filler opens the store, the former one finishes what it has begun."""
        supervisor = self._supervisor
        supervisor.is_handing_over = False
        supervisor.replace_filler()
        for child in supervisor.servers():
            supervisor.order(child, Resume(), ORDER_SECONDS)

    def _leave(self) -> int:
        """End, after what is open has been answered."""
        supervisor = self._supervisor
        supervisor.is_stopping = True
        seconds = supervisor.config.limits.drain_timeout + 2 * MARGIN_SECONDS
        supervisor.close_sockets()
        for child in supervisor.servers():
            child.link.send(Leave(self._heir_path))
        supervisor.until(lambda: not supervisor.servers() or supervisor.is_hurried(), seconds)
        filler = supervisor.children.get(FILLER)
        if filler is not None:
            filler.link.send(Stop())
        supervisor.until(lambda: not supervisor.children or supervisor.is_hurried(), seconds)
        supervisor.kill()
        return 0
