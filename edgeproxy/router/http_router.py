"""The router for HTTP: a Handler that sends clients on where that is worth a way, and has everything else
answered by the handler behind it - this node's own pipeline, or whoever passes requests on to nodes.

What is redirected follows from what clients do with a redirect. They drop credentials on it, they take a
page's links to be relative to where it came from, and the hub's reads metadata off it: so only GET of large
files, asked for without credentials, is; and the redirect carries what HEAD would have told."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from edgeproxy.config_router import Router
from edgeproxy.message import Clock, Handler, Headers, Request, Response
from edgeproxy.metrics import Metrics
from edgeproxy.router.asking_fields import (
    EXCLUDE,
    complained_of,
    family_of,
    has_credentials,
)
from edgeproxy.router.behind import Behind
from edgeproxy.router.client import Client, parse
from edgeproxy.router.crowding import crowded_out
from edgeproxy.router.decide import Asking, Decision
from edgeproxy.router.file_facts import NOTHING, FileFacts, KnownFiles, facts_of
from edgeproxy.router.files import Files
from edgeproxy.router.hop import Signer
from edgeproxy.router.lists import Wanted, listed, wanted_at_endpoint, wanted_form
from edgeproxy.router.policies import DEFAULT, policy
from edgeproxy.router.prepared import Prepared
from edgeproxy.router.redirects import Redirects
from edgeproxy.router.routing import Routing
from edgeproxy.router.sent import Again, Sent, SentTable
from edgeproxy.router.shadow import Shadow
from edgeproxy.router.shared_redirects import Shared, SharedRedirects
from edgeproxy.router.snapshot import RouteObject, Snapshot
from edgeproxy.tasks import Tasks

CLIENTS_MAX = 65_536
CLIENTS_SECONDS = 60.0  # an address belongs to the same client for so long

_NOBODY: frozenset[str] = frozenset()
_EXCLUDES = f"{EXCLUDE}="

Original = Callable[[Request], str | None]


class HttpRouter:
    """`inner` answers what is not redirected. `original` gives the URL at a site's origin that a request is
    for, None if that is not known. `shadows` see every decision. `draw` gives numbers in [0, 1)."""

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
        shadows: Sequence[Shadow] = (),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._own = settings.own if settings.enabled else ""
        self._routing = routing
        self._inner = inner
        self._files = files
        self._original = original
        self._known = known
        self._behind = Behind(inner, known, tasks, settings.redirect_above)
        self._signer = signer
        self._metrics = metrics
        self._clock = clock
        self._draw = draw
        self._shadows = shadows
        self._redirects = Redirects(
            signer,
            duplicates=settings.duplicates,
            endpoint=settings.endpoint,
            retry_after=settings.retry_after,
        )
        self._private = tuple(settings.private)
        self._sent = SentTable(max(1, settings.facts // 4), settings.reask)
        self._clients: dict[str, Client] = {}
        self._policy = None if settings.policy == DEFAULT else policy(settings.policy)
        self._map = routing.snapshot
        self._prepared = self._prepare(self._map)
        self._shared = SharedRedirects()
        self._kinds: dict[tuple[str, str], int | None] = {}  # of clients, as long as the map is the same
        self._clients_since = clock()

    def _prepare(self, snapshot: Snapshot) -> Prepared:
        # A node that is one of the map's has to know how much nearer another one is.
        return Prepared(snapshot, self._clock(), by_order=not self._own)

    def _look(self) -> None:
        """What was decided with another map is decided again, unless it says the same; addresses are looked
        up anew now and then."""
        snapshot = self._routing.snapshot
        if snapshot is self._map:
            return
        self._map = snapshot
        if self._prepared.stays(snapshot):
            self._prepared.renew(snapshot)
        else:
            self._prepared = self._prepare(snapshot)
            self._shared.clear()
            self._kinds.clear()
            self._sent.generation += 1
        if self._clock() - self._clients_since > CLIENTS_SECONDS:
            self._clients.clear()
            self._kinds.clear()
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
                if sent.asks > 2 and "Range" not in request.headers:
                    return self._repeatable(sent)
                return sent.response
            if again is Again.COMPLAINT:
                return self._elsewhere(request, sent.node)
        facts = self._known.get(request.target)
        if facts is None or facts.size < self._settings.redirect_above or self._is_special(request):
            return None
        if self._own:  # it is mostly answered here, and nothing is gained
            return None
        client = self._client(request.client)
        away = self._away(request, client)
        if away is not None:
            return away
        return self._sent_on(request, client, facts, self._routing.excluded(client))

    def _repeatable(self, sent: Sent) -> Response:
        """To who has asked twice already, and whom no complaint is expected of any more."""
        response = sent.repeatable
        if response is None:

            def repeat(now: float) -> bool:
                self._look()
                if self._sent.again(sent, now, is_part=False) is not Again.REPEAT:
                    return False
                self._count(sent.node, sent.country)
                return True

            response = sent.repeatable = replace(sent.response, repeat=repeat)
        return response

    def _is_special(self, request: Request) -> bool:
        """Whether there is more to it than a file that anybody may have."""
        target = request.target
        return (
            _EXCLUDES in target
            or has_credentials(request.headers)
            or request.path == self._settings.endpoint
            or not self._files.is_file(target, request.authority)
        )

    def _elsewhere(self, request: Request, node: str) -> Response | None:
        """Who asks again was not served where it was sent."""
        client = self._client(request.client)
        self._complained(client, node, "asked again")
        facts = self._known.get(request.target)
        excluded = self._routing.excluded(client) | {node}
        return None if facts is None else self._sent_on(request, client, facts, excluded)

    # -- which requests are for whom -------------------------------------------------------------

    async def _routed(self, request: Request) -> Response:
        client = self._client(request.client)
        if self._settings.endpoint and request.path == self._settings.endpoint:
            return await self._listed(request, client)
        if _EXCLUDES in request.target:
            request = self._excluding(request, client)
        excluded = self._routing.excluded(client)
        away = self._away(request, client)
        if away is not None:
            return away
        if request.method == "GET":
            return await self._get(request, client, excluded)
        if request.method == "HEAD":
            return await self._head(request)
        return self._upload(request, client, excluded) or await self._inner(request)

    def _away(self, request: Request, client: Client) -> Response | None:
        """To the original URL, if clients of this country are not served; who brings credentials, which a
        redirect would lose, is."""
        coverage = self._routing.snapshot.coverage
        if coverage.elsewhere != "origin" or coverage.is_served(client) or has_credentials(request.headers):
            return None
        url = self._original(request)
        if url is None:
            return None
        self._count("origin", client.whereabouts.country)
        status = 302 if request.method in ("GET", "HEAD") else 307
        reason = f"country {client.whereabouts.country} is not served here"
        return self._redirects.to_origin(url, reason, status=status)

    async def _head(self, request: Request) -> Response:
        """Never redirected: the hub's clients read metadata off the first answer."""
        if self._files.is_file(request.target, request.authority):
            return await self._behind.answer(request)
        return await self._inner(request)

    def _upload(self, request: Request, client: Client, excluded: frozenset[str]) -> Response | None:
        """Large content without credentials goes straight to a node, where this is none itself."""
        size = request.body.length if request.body is not None else None
        if self._own or size is None or size < self._settings.redirect_above:
            return None
        if has_credentials(request.headers):
            return None
        decision = self._decided(request, client, FileFacts(size), self._asking(request, excluded))
        if not decision.ranked:
            return self._redirects.nobody(decision)
        self._count(decision.ranked[0].name, client.whereabouts.country)
        return self._redirects.to_node(decision, request.target, NOTHING, status=307)

    async def _get(self, request: Request, client: Client, excluded: frozenset[str]) -> Response:
        if not self._files.is_file(request.target, request.authority):
            return await self._inner(request)
        if has_credentials(request.headers):
            if self._private and request.path.startswith(self._private):
                return await self._get_private(request, client, excluded)
            return await self._inner(request)
        facts = self._known.get(request.target)
        if facts is None and self._own and not self._leads_away(request, client, excluded):
            return await self._behind.answer(request)
        if facts is None:
            facts = await self._behind.learn(request)
        if facts.size < self._settings.redirect_above:
            return await self._behind.answer(request)
        return self._sent_on(request, client, facts, excluded) or await self._behind.answer(request)

    def _leads_away(self, request: Request, client: Client, excluded: frozenset[str]) -> bool:
        """Whether another node would be clearly nearer: then it matters how large the file is."""
        decision = self._decide(client, NOTHING.asked(request.path), self._asking(request, excluded))
        return bool(decision.ranked) and self._is_clearly_nearer(decision)

    # -- decisions ---------------------------------------------------------------------------------

    def _sent_on(
        self, request: Request, client: Client, facts: FileFacts, excluded: frozenset[str]
    ) -> Response | None:
        """None if it is to be answered here."""
        form, chance = wanted_form(request.headers), self._draw()
        kind = None if form or excluded else self._shareable(request, client, chance)
        if kind is not None:
            shared = self._shared.get(kind, request.target, facts)
            if shared is not None:
                self._routing.decided(client, shared.decision)
                return self._note(request, client, shared, is_settled=False)
        asking = self._asking(request, excluded, chance)
        decision = self._decided(request, client, facts, asking)
        if form:
            return self._list(request, Wanted(request.target, form), client, decision, facts)
        if not decision.ranked and not self._own:
            return self._redirects.nobody(decision)
        if self._own and not (decision.ranked and self._is_clearly_nearer(decision)):
            return None
        made_at = self._map.made_at
        age = max(0.0, self._clock() - made_at) if made_at else 0.0
        response = self._redirects.to_node(decision, request.target, facts, map_age=age)
        made = Shared(facts, decision, response)
        self._shared.put(kind, request.target, made)
        return self._note(request, client, made, is_settled=bool(excluded))

    def _shareable(self, request: Request, client: Client, chance: float) -> int | None:
        """The kind of client for which a decision made now is that for all others of it; None for none."""
        if self._policy is not None or self._shadows or chance < self._map.rules.explore_share:
            return None
        key = (request.client, request.scheme)
        try:
            return self._kinds[key]
        except KeyError:
            kind = self._kinds[key] = self._prepared.shared_kind(client, self._asking(request, chance=chance))
            crowded_out(self._kinds, CLIENTS_MAX)
            return kind

    def _note(self, request: Request, client: Client, made: Shared, *, is_settled: bool) -> Response:
        """Remember where a client is sent."""
        node, country = made.decision.ranked[0].name, client.whereabouts.country
        key = (request.client, request.target)
        former = self._sent.get(key)
        settled = is_settled or (former is not None and (former.is_settled or former.asks > 2))
        now, generation = self._clock(), self._sent.generation
        self._sent.put(key, Sent(made.response, node, country, now, generation, is_settled=settled))
        self._count(node, country)
        return made.response

    def _asking(
        self, request: Request, excluded: frozenset[str] = _NOBODY, chance: float | None = None
    ) -> Asking:
        scheme = "https" if request.scheme == "https" else ""
        return Asking(family_of(request.client), scheme, excluded, self._draw() if chance is None else chance)

    def _decided(self, request: Request, client: Client, facts: FileFacts, asking: Asking) -> Decision:
        asked = facts.asked(request.path)
        decision = self._decide(client, asked, asking)
        if not decision.ranked and asking.excluded:  # better one that is complained of than none
            decision = self._decide(client, asked, replace(asking, excluded=_NOBODY))
        self._routing.decided(client, decision)
        for shadow in self._shadows:
            shadow.saw(decision, client, asked, self._map, self._clock(), asking)
        return decision

    def _decide(self, client: Client, asked: RouteObject, asking: Asking) -> Decision:
        now, policy = self._clock(), self._policy
        if policy is None:
            return self._prepared.decide(client, asked, now, asking)
        return policy.decide(client, asked, self._map, now, asking)

    def _is_clearly_nearer(self, decision: Decision) -> bool:
        """Whether another node is worth the way there."""
        first = decision.ranked[0]
        if first.name == self._own:
            return False
        mine = next((one for one in decision.ranked if one.name == self._own), None)
        return mine is None or mine.cost.total - first.cost.total >= self._settings.gain * 1000

    async def _get_private(self, request: Request, client: Client, excluded: frozenset[str]) -> Response:
        """Whether the client may have it is asked behind us, each time; then it may get it elsewhere."""
        facts = facts_of(await self._behind.asked(request, keep=("Authorization", "Cookie")))
        if self._signer is None or facts.size < self._settings.redirect_above or not client.prefix:
            return await self._inner(request)
        decision = self._decided(request, client, facts, self._asking(request, excluded))
        if not decision.ranked or (self._own and not self._is_clearly_nearer(decision)):
            return await self._inner(request)
        self._count(decision.ranked[0].name, client.whereabouts.country)
        expires = self._clock() + self._settings.private_ttl
        return self._redirects.signed(decision.ranked[0], request.target, facts, client.prefix, expires)

    # -- lists of nodes ----------------------------------------------------------------------------

    async def _listed(self, request: Request, client: Client) -> Response:
        wanted = wanted_at_endpoint(request)
        if wanted is None:
            line = "ask with ?url=/path of a file here, and &format=json or meta4"
            return self._redirects.refusal(400, line)
        about = replace(request, method="GET", target=wanted.target)
        facts = self._known.get(wanted.target)
        if facts is None and self._files.is_file(wanted.target, request.authority):
            facts = await self._behind.learn(about)
        asking = self._asking(about, self._routing.excluded(client))
        decision = self._decided(about, client, facts or NOTHING, asking)
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
            self._clients[text] = held
            crowded_out(self._clients, CLIENTS_MAX)
        return held

    def _excluding(self, request: Request, client: Client) -> Request:
        """Without the nodes that the client says have not served it."""
        target, found = complained_of(request.target, {node.name for node in self._map.nodes})
        for node in sorted(found):
            self._complained(client, node, "said so", lasts=True)
        return replace(request, target=target) if found else request

    def _complained(self, client: Client, node: str, how: str, *, lasts: bool = False) -> None:
        self._metrics.count("complaints_total", node, how)
        self._routing.complained(client, node, lasts=lasts)

    def _count(self, node: str, country: str) -> None:
        self._metrics.count("redirects_total", node, country)


def _is_plain(headers: Headers) -> bool:
    """Whether a redirect that somebody else got is right for these fields too."""
    return not has_credentials(headers) and not wanted_form(headers)
