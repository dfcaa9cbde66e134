"""The router for HTTP: a Handler that sends clients on where that is worth a way, and has everything else
answered by the handler behind it - this node's own pipeline, or whoever passes requests on to nodes.

What is redirected follows from what clients do with a redirect. They drop credentials on it, they take a
page's links to be relative to where it came from, and the hub's reads metadata off it: so only GET of large
files, asked for without credentials, is; and the redirect carries what HEAD would have told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

from edgeproxy.config_router import Router
from edgeproxy.errors import RequestError
from edgeproxy.message import Clock, Handler, Headers, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.router.client import Client, parse
from edgeproxy.router.decide import Asking, Decision
from edgeproxy.router.file_facts import NOTHING, FileFacts, KnownFiles, facts_of
from edgeproxy.router.files import Files
from edgeproxy.router.hop import Signer
from edgeproxy.router.lists import Wanted, listed, wanted_at_endpoint, wanted_form
from edgeproxy.router.prepared import Prepared
from edgeproxy.router.redirects import Redirects
from edgeproxy.router.routing import Routing
from edgeproxy.router.sent import Again, Sent, SentTable
from edgeproxy.tasks import Tasks

CLIENTS_MAX = 65_536
CLIENTS_SECONDS = 60.0  # an address belongs to the same client for so long
EXCLUDE = "exclude"

_NOBODY: frozenset[str] = frozenset()
_OF_ONE_CLIENT = (
    *("Authorization", "Cookie", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range"),
    *("If-Unmodified-Since", "Range", "Expect"),
)

Original = Callable[[Request], str | None]


class HttpRouter:
    """`inner` answers what is not redirected. `original` gives the URL at a site's origin that a request is
    for, None if that is not known. `draw` gives numbers in [0, 1)."""

    def __init__(
        self,
        settings: Router,
        routing: Routing,
        inner: Handler,
        *,
        files: Files,
        original: Original,
        signer: Signer | None,
        known: KnownFiles,
        tasks: Tasks,
        metrics: Metrics,
        clock: Clock,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._own = settings.own if settings.enabled else ""
        self._routing = routing
        self._inner = inner
        self._files = files
        self._original = original
        self._known = known
        self._signer = signer
        self._tasks = tasks
        self._metrics = metrics
        self._clock = clock
        self._draw = draw
        self._redirects = Redirects(
            signer,
            duplicates=settings.duplicates,
            endpoint=settings.endpoint,
            retry_after=settings.retry_after,
        )
        self._private = tuple(settings.private)
        self._sent = SentTable(settings.facts, settings.reask)
        self._clients: dict[str, Client] = {}
        self._learning: dict[str, asyncio.Task[FileFacts]] = {}
        self._map = routing.snapshot
        self._prepared = Prepared(self._map)
        self._clients_since = clock()

    def _look(self) -> None:
        """What was decided with another map is decided again; addresses are looked up anew now and then."""
        snapshot = self._routing.snapshot
        if snapshot is not self._map:
            self._map = snapshot
            self._prepared = Prepared(snapshot)
            self._sent.generation += 1
            if self._clock() - self._clients_since > CLIENTS_SECONDS:
                self._clients.clear()
                self._clients_since = self._clock()

    async def __call__(self, request: Request) -> Response:
        return self.at_once(request) or await self._routed(request)

    def at_once(self, request: Request) -> Response | None:
        """The answer, if it is a redirect for which nobody has to be asked."""
        self._look()
        if request.method != "GET":
            return None
        sent = self._sent.get((request.client, request.target))
        if sent is not None and _is_plain(request.headers):
            again = self._sent.again(sent, self._clock(), is_part="Range" in request.headers)
            if again is Again.REPEAT:
                self._count(sent.node, sent.country)
                return sent.response
            if again is Again.COMPLAINT:
                return self._elsewhere(request, sent.node)
        facts = self._known.get(request.target)
        if facts is None or facts.size < self._settings.redirect_above or self._is_special(request):
            return None
        client = self._client(request.client)
        away = self._away(request, client)
        return away if away is not None else self._sent_on(request, client, facts, _NOBODY)

    def _is_special(self, request: Request) -> bool:
        """Whether there is more to it than a file that anybody may have."""
        target = request.target
        return (
            f"{EXCLUDE}=" in target
            or _has_credentials(request.headers)
            or request.path == self._settings.endpoint
            or not self._files.is_file(target, request.authority)
        )

    def _elsewhere(self, request: Request, node: str) -> Response | None:
        """Who asks again was not served where it was sent."""
        client = self._client(request.client)
        self._complained(client, node, "asked again")
        facts = self._known.get(request.target)
        return None if facts is None else self._sent_on(request, client, facts, frozenset((node,)))

    # -- which requests are for whom -------------------------------------------------------------

    async def _routed(self, request: Request) -> Response:
        client = self._client(request.client)
        if self._settings.endpoint and request.path == self._settings.endpoint:
            return await self._listed(request, client)
        excluded = _NOBODY
        if f"{EXCLUDE}=" in request.target:
            request, excluded = self._excluding(request, client)
        away = self._away(request, client)
        if away is not None:
            return away
        if request.method == "GET":
            return await self._get(request, client, excluded)
        if request.method == "HEAD":
            return await self._head(request)
        return self._upload(request, client) or await self._inner(request)

    def _away(self, request: Request, client: Client) -> Response | None:
        """To the original URL, if clients of this country are not served; who brings credentials, which a
        redirect would lose, is."""
        coverage = self._routing.snapshot.coverage
        if coverage.elsewhere != "origin" or coverage.is_served(client) or _has_credentials(request.headers):
            return None
        url = self._original(request)
        if url is None:
            return None
        self._count("origin", client.whereabouts.country)
        status = 302 if request.method in ("GET", "HEAD") else 307
        reason = f"country {client.whereabouts.country} is not served here"
        return self._redirects.to_origin(url, reason, status=status)

    async def _head(self, request: Request) -> Response:
        """Never redirected: the hub's clients read metadata off the first answer. What it tells is kept."""
        response = await self._inner(request)
        if self._files.is_file(request.target, request.authority) and _is_common(request.headers):
            self._known.put(request.target, facts_of(response))
        return response

    def _upload(self, request: Request, client: Client) -> Response | None:
        """Large content without credentials goes straight to a node, where this is none itself."""
        size = request.body.length if request.body is not None else None
        if self._own or size is None or size < self._settings.redirect_above:
            return None
        if _has_credentials(request.headers):
            return None
        decision = self._decided(request, client, FileFacts(size), _NOBODY)
        if not decision.ranked:
            return self._redirects.nobody(decision)
        self._count(decision.ranked[0].name, client.whereabouts.country)
        return self._redirects.to_node(decision, request.target, NOTHING, status=307)

    async def _get(self, request: Request, client: Client, excluded: frozenset[str]) -> Response:
        if not self._files.is_file(request.target, request.authority):
            return await self._inner(request)
        if _has_credentials(request.headers):
            if self._private and request.path.startswith(self._private):
                return await self._get_private(request, client, excluded)
            return await self._inner(request)
        facts = self._known.get(request.target)
        if facts is None:
            facts = await self._learn(request)
        if facts.size < self._settings.redirect_above:
            response = await self._inner(request)
            if facts.size < 0 and response.status == 200:
                self._known.put(request.target, facts_of(response))
            return response
        # For this client; another one that sends the same bytes may be near to another node.
        sent_on = self._sent_on(request, client, facts, excluded)
        return sent_on or replace(await self._inner(request), reuse=None)

    # -- decisions ---------------------------------------------------------------------------------

    def _sent_on(
        self, request: Request, client: Client, facts: FileFacts, excluded: frozenset[str]
    ) -> Response | None:
        """None if it is to be answered here."""
        decision = self._decided(request, client, facts, excluded)
        form = wanted_form(request.headers)
        if form:
            return self._list(request, Wanted(request.target, form), client, decision, facts)
        if not decision.ranked and not self._own:
            return self._redirects.nobody(decision)
        if self._own and not (decision.ranked and self._is_clearly_nearer(decision)):
            return None
        first, now = decision.ranked[0].name, self._clock()
        response = self._redirects.to_node(decision, request.target, facts, map_age=self._map_age(now))
        country = client.whereabouts.country
        sent = Sent(response, first, country, now, self._sent.generation, is_settled=bool(excluded))
        self._sent.put((request.client, request.target), sent)
        self._count(first, country)
        return response

    def _decided(
        self, request: Request, client: Client, facts: FileFacts, excluded: frozenset[str]
    ) -> Decision:
        address = parse(request.client)
        asking = Asking(
            family=address.version if address is not None else 0,
            scheme="https" if request.scheme == "https" else "",
            excluded=excluded,
            chance=self._draw(),
        )
        asked, now = facts.asked(request.path), self._clock()
        decision = self._prepared.decide(client, asked, now, asking)
        if not decision.ranked and excluded:  # better one that is complained of than none
            decision = self._prepared.decide(client, asked, now, replace(asking, excluded=_NOBODY))
        self._routing.decided(client, decision)
        return decision

    def _is_clearly_nearer(self, decision: Decision) -> bool:
        """Whether another node is worth the way there."""
        first = decision.ranked[0]
        if first.name == self._own:
            return False
        mine = next((one for one in decision.ranked if one.name == self._own), None)
        return mine is None or mine.cost.total - first.cost.total >= self._settings.gain * 1000

    def _map_age(self, now: float) -> float:
        made = self._routing.snapshot.made_at
        return max(0.0, now - made) if made else 0.0

    async def _get_private(self, request: Request, client: Client, excluded: frozenset[str]) -> Response:
        """Whether the client may have it is asked behind us, each time; then it may get it elsewhere."""
        facts = facts_of(await self._asked(request, keep=("Authorization", "Cookie")))
        if self._signer is None or facts.size < self._settings.redirect_above or not client.prefix:
            return await self._inner(request)
        decision = self._decided(request, client, facts, excluded)
        if not decision.ranked or (self._own and not self._is_clearly_nearer(decision)):
            return await self._inner(request)
        self._count(decision.ranked[0].name, client.whereabouts.country)
        expires = self._clock() + self._settings.private_ttl
        return self._redirects.signed(decision.ranked[0], request.target, facts, client.prefix, expires)

    # -- what is asked behind us -------------------------------------------------------------------

    async def _learn(self, request: Request) -> FileFacts:
        """Everybody who waits for the facts of one file shares one question."""
        target = request.target
        task = self._learning.get(target)
        if task is None:
            task = self._learning[target] = self._tasks.start(self._learned(request), "facts of a file")
            task.add_done_callback(lambda _: self._learning.pop(target, None))
        return await asyncio.shield(task)

    async def _learned(self, request: Request) -> FileFacts:
        try:
            facts = facts_of(await self._asked(request))
        except RequestError:
            return NOTHING  # it will be said again to whoever asks
        self._known.put(request.target, facts)
        return facts

    async def _asked(self, request: Request, keep: tuple[str, ...] = ()) -> Response:
        unwanted = [name for name in _OF_ONE_CLIENT if name not in keep]
        headers = request.headers.without(unwanted)
        response = await self._inner(
            replace(request, method="HEAD", headers=headers, body=None, interim=None)
        )
        await response.body.aclose()
        return response

    async def _listed(self, request: Request, client: Client) -> Response:
        wanted = wanted_at_endpoint(request)
        if wanted is None:
            line = "ask with ?url=/path of a file here, and &format=json or meta4"
            return self._redirects.refusal(400, line)
        about = replace(request, method="GET", target=wanted.target)
        facts = self._known.get(wanted.target)
        if facts is None and self._files.is_file(wanted.target, request.authority):
            facts = await self._learn(about)
        decision = self._decided(about, client, facts or NOTHING, _NOBODY)
        return self._list(about, wanted, client, decision, facts or NOTHING)

    def _list(
        self, request: Request, wanted: Wanted, client: Client, decision: Decision, facts: FileFacts
    ) -> Response:
        origin, generation = self._original(request), self._map.generation
        return listed(
            wanted, client, decision, self._redirects, facts=facts, origin=origin, generation=generation
        )

    # -- clients -----------------------------------------------------------------------------------

    def _client(self, text: str) -> Client:
        held = self._clients.get(text)
        if held is None:
            held = self._routing.client(parse(text))
            if len(self._clients) >= CLIENTS_MAX:
                del self._clients[next(iter(self._clients))]
            self._clients[text] = held
        return held

    def _excluding(self, request: Request, client: Client) -> tuple[Request, frozenset[str]]:
        """Nodes that the client says have not served it; the parameter is ours only if it names some."""
        path, _, query = request.target.partition("?")
        nodes = {node.name for node in self._routing.snapshot.nodes}
        kept, found = [], set()
        for part in query.split("&"):
            name, _, value = part.partition("=")
            named = set(value.split(",")) if name == EXCLUDE else set()
            if named and named <= nodes:
                found |= named
            else:
                kept.append(part)
        if not found:
            return request, _NOBODY
        for node in sorted(found):
            self._complained(client, node, "said so")
        return replace(request, target=f"{path}?{'&'.join(kept)}" if kept else path), frozenset(found)

    def _complained(self, client: Client, node: str, how: str) -> None:
        self._metrics.count("complaints_total", node, how)
        self._routing.complained(client, node)

    def _count(self, node: str, country: str) -> None:
        self._metrics.count("redirects_total", node, country)


def _has_credentials(headers: Headers) -> bool:
    return "Authorization" in headers or "Cookie" in headers


def _is_common(headers: Headers) -> bool:
    """Whether an answer to these fields says the same to everybody."""
    return not any(name in headers for name in _OF_ONE_CLIENT)


def _is_plain(headers: Headers) -> bool:
    """Whether a redirect that somebody else got is right for these fields too."""
    return not _has_credentials(headers) and not wanted_form(headers)
