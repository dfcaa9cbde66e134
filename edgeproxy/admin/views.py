"""What the control plane needs of the node."""

from __future__ import annotations

from typing import Any, Protocol

from edgeproxy.message import Headers
from edgeproxy.storage.store import Purge


class NodeViews(Protocol):
    """The node as the control plane sees it. Dictionaries hold what JSON can hold.

    Names of numbers end in their unit (`_bytes`, `_seconds`, `_ratio`): people are shown them so."""

    def status(self) -> dict[str, Any]:
        """What the node is and holds now: sections by name, each a dictionary, or a list of
        dictionaries ("node", "sites", "store", "traffic"; see `edgeproxy.admin.status`). Never waits."""
        ...

    def is_ready(self) -> tuple[bool, str]:
        """Whether requests should be sent here; if not, why, in one line."""
        ...

    async def reload(self, restart: bool) -> dict[str, Any]:
        """Read the configuration again: "changed" lists the keys now in force, "needs_restart" those that
        are not. With `restart` a new process takes over instead. Raises ConfigurationError or StartError, one
        line saying why nothing has changed."""
        ...

    async def purge(self, purge: Purge) -> None:
        """Raises RequestError (404) for a site that does not exist, StorageError if it was not kept."""
        ...

    async def listing(self, prefix: str, after: str, limit: int) -> list[dict[str, Any]]:
        """What is on disk under cache keys that begin with `prefix`, at most `limit` rows behind the place
        `after` (see `edgeproxy.admin.listing`); fewer are the end. Raises StorageError."""
        ...

    async def explain(self, url: str, method: str, headers: Headers) -> dict[str, Any]:
        """How the request would be answered now, without asking upstream (see
        `edgeproxy.admin.explain`). `url` is a client's: absolute, or a path. Raises RequestError."""
        ...
