"""Hosts that pages of an index have linked to: whose files are served under their own name too.

They are remembered across restarts. A client may ask for a file long after it read the page, which may be
its own copy, or one out of the store: nothing is learned of either, and to a node that does not know the host
the file would be a stranger's bytes, passed on unseen."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from edgeproxy.errors import StorageError
from edgeproxy.sites.python_links import LinkRules
from edgeproxy.sites.remembering import remember
from edgeproxy.sites.site import Ledger
from edgeproxy.sites.urls import parse_url
from edgeproxy.upstream.upstream import Origin

HOSTS_MAX = 256


class LinkHosts:
    """Of the index at the URL `index`. Lives on the event loop, but for `note`."""

    def __init__(self, rules: LinkRules, ledger: Ledger, index: str) -> None:
        """Blocks. What was noted and is not believed by the rules of today is left out."""
        self._rules = rules
        self._ledger = ledger
        self._index = index
        self._known: OrderedDict[Origin, None] = OrderedDict()
        self._noted = self._read()
        self.learn(self._noted)

    def _read(self) -> set[Origin]:
        try:
            lines = self._ledger.read()
        except StorageError:
            return set()  # pages are seen again; a node that starts is worth more
        found = (parse_url(f"{url}/") for url, index in lines.items() if index == self._index)
        return {one[0] for one in found if one is not None and self._rules.is_served(one[0], hashed=True)}

    def learn(self, hosts: Iterable[Origin]) -> None:
        for origin in hosts:
            remember(self._known, origin, None, HOSTS_MAX)

    def note(self, hosts: Iterable[Origin]) -> None:
        """Write down those that are new, before anybody is told of them. Blocks; for threads."""
        for origin in hosts:
            is_news = origin not in self._noted and not self._rules.is_known(origin)
            if is_news and len(self._noted) < HOSTS_MAX:
                self._noted.add(origin)
                self._ledger.add(origin.url, self._index)

    def __contains__(self, origin: Origin) -> bool:
        return origin in self._known

    @property
    def all(self) -> tuple[Origin, ...]:
        return tuple(self._known)
