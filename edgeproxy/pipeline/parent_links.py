"""This node towards its parents and siblings: it says who it is, and hears how far purges have come. A
sibling is told how far those of this node have, so that it does not answer with what has been purged here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from edgeproxy import config
from edgeproxy.message import Headers
from edgeproxy.policy.surrogates import NODE, PURGES, Position
from edgeproxy.upstream.candidate import Role
from edgeproxy.upstream.remote import Remote
from edgeproxy.upstream.upstream import Origin, Reach, Upstream, UpstreamRequest, UpstreamResponse


@dataclass(frozen=True, slots=True)
class ParentLink:
    """A node that is asked under the names of origins; `origin` is where it is itself. `sites` are the
    names of those sites whose responses come from it (none: of all). `beside`: it is a sibling."""

    name: str
    origin: Origin
    reach: Reach = Reach()
    token: str = field(default="", repr=False)
    sites: tuple[str, ...] = ()
    beside: bool = False

    def fields(self, node: str) -> dict[str, str | None]:
        """What goes with a request to it: who asks, and that it may."""
        return {NODE: node, "Proxy-Authorization": f"Bearer {self.token}" if self.token else None}


def links_of(remotes: Sequence[Remote], sites: Sequence[config.Site]) -> tuple[ParentLink, ...]:
    """Those of parents and siblings. Mirrors are asked under their own names, as any client asks them."""
    names = [site.name for site in sites or config.default_sites()]
    links = []
    for remote in remotes:
        candidate = remote.candidate
        served = tuple(name for name in names if candidate.serves(name))
        if candidate.is_mirror or not served:
            continue
        links.append(
            ParentLink(
                candidate.name,
                remote.origin,
                remote.reached(),
                remote.token,
                sites=() if len(served) == len(names) else served,
                beside=candidate.role is Role.SIBLING,
            )
        )
    return tuple(links)


class Introduced:
    """An Upstream that tells parents and siblings who asks, where they are asked under an origin's name, and
    hands what they say of their purges to `heard`. `position` is where this node's purges are."""

    def __init__(
        self, upstream: Upstream, links: Sequence[ParentLink], node: str, position: Callable[[], Position]
    ) -> None:
        self._upstream = upstream
        self._position = position
        self._links = {link.origin: link for link in links}
        self._node = node
        self.heard: Callable[[ParentLink, str], None] | None = None

    @property
    def links(self) -> tuple[ParentLink, ...]:
        """Those whose purges are followed."""
        return tuple(self._links.values())

    async def fetch(self, request: UpstreamRequest) -> UpstreamResponse:
        """Raises UpstreamError."""
        link = self._links.get(request.origin)
        if link is None:
            return await self._upstream.fetch(request)
        if request.host not in (None, link.origin.authority):
            position = str(self._position()) if link.beside else None
            fields = {**link.fields(self._node), PURGES: position}
            headers: Headers = request.headers.replacing(fields)
            request = replace(request, headers=headers)
        response = await self._upstream.fetch(request)
        said = response.headers.get(PURGES)
        if said and self.heard is not None:
            self.heard(link, said)
        return response

    @property
    def running(self) -> int:
        """Exchanges in flight, as far as can be told."""
        return int(getattr(self._upstream, "running", 0))

    async def aclose(self) -> None:
        await self._upstream.aclose()
