"""One exchange with an upstream on behalf of a plan: fields, redirects the plan allows, counting."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import Headers, Interim, RequestBody
from edgeproxy.metrics import Metrics
from edgeproxy.pipeline.blame import NOBODY, Blame
from edgeproxy.policy import hop_by_hop
from edgeproxy.sites import urls
from edgeproxy.sites.site import Plan
from edgeproxy.upstream.upstream import Origin, Upstream, UpstreamRequest, UpstreamResponse

REDIRECTS_MAX = 5
_UNWISE = re.compile(r'[\\"<>^`{|}]')
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Answer:
    """An upstream's response; `url` is where redirects ended ("" if there were none), `seconds` the
    time until its head was here."""

    response: UpstreamResponse
    url: str
    seconds: float

    @property
    def source(self) -> str:
        """Who answered: "origin", or the name of a parent or a sibling."""
        return self.response.source


class Exchange:
    """Asks upstream for plans of one site after another and counts what came of it."""

    def __init__(self, upstream: Upstream, metrics: Metrics, blame: Blame) -> None:
        self.upstream = upstream  # may be replaced: what has been asked goes on with the former one
        self._metrics = metrics
        self.blame = blame

    async def ask(
        self,
        plan: Plan,
        site: str,
        method: str,
        headers: Headers,
        body: RequestBody | None = None,
        interim: Interim | None = None,
        at: str = "",
        bulk: bool = False,
        avoid: frozenset[str] = NOBODY,
    ) -> Answer:
        """`interim` passes interim responses on to a client. `at` is where an earlier answer's redirects
        ended, to be asked at once. `bulk`: this is a part of a large body. `avoid` names sources that are
        asked only if there are no others. Raises UpstreamError when no acceptable response head arrives."""
        started = time.monotonic()
        request = UpstreamRequest(
            method=method,
            origin=plan.origin,
            target=plan.target,
            headers=headers.replacing(plan.fields) if plan.fields else headers,
            body=body,
            interim=None if interim is None else _passing_on(interim),
            reach=plan.reach,
            host=plan.fields.get("Host"),
            site=site,
            key=plan.key,
            bulk=bulk,
            avoid=avoid | self.blame.of(plan.key, plan.expected.sha256),
        )
        url = ""
        located = parse_url(at) if at else None
        if located is not None:
            request, url = _moved(request, plan, *located), at
        for _ in range(REDIRECTS_MAX + 1):
            response = await self._fetch(request, site)
            if plan.notice is not None and request.origin == plan.origin:
                plan.notice(response.status, response.headers)
            try:
                following = _redirect(request, response, plan) if plan.redirects else None
            except UpstreamError as error:
                self._metrics.count("upstream_errors_total", site, error.error.value)
                await response.aclose()
                raise
            if following is None:
                seconds = time.monotonic() - started
                self._metrics.observe("upstream_head_seconds", seconds, site)
                return Answer(response, url, seconds)
            await response.aclose()
            request = following
            url = request.origin.url + request.target
        raise UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, f"more than {REDIRECTS_MAX} redirects")

    async def _fetch(self, request: UpstreamRequest, site: str) -> UpstreamResponse:
        try:
            response = await self.upstream.fetch(request)
        except UpstreamError as error:
            self._metrics.count("upstream_errors_total", site, error.error.value)
            raise
        self._metrics.count("upstream_requests_total", site, f"{response.status // 100}xx")
        return response


def _passing_on(interim: Interim) -> Interim:
    return lambda status, headers: interim(status, hop_by_hop.end_to_end(headers))


def _redirect(request: UpstreamRequest, response: UpstreamResponse, plan: Plan) -> UpstreamRequest | None:
    """The request to send next, or None when `response` is the answer. Credentials belong to one
    origin: they do not travel to another."""
    location = response.headers.get("Location")
    if response.status not in _REDIRECTS or not location:
        return None
    target = parse_url(urljoin(request.origin.url + request.target, location))
    if target is None or not _is_among(target[0].host, plan.redirects):
        raise UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, "redirect to a host that is not allowed")
    origin, path = target
    if request.origin.scheme == "https" and origin.scheme != "https":
        raise UpstreamError(ProxyError.HTTP_PROTOCOL_ERROR, "redirect from https to http")
    return _moved(request, plan, origin, path)


def _is_among(host: str, names: frozenset[str]) -> bool:
    """Whether `host` is one of `names`, or lies under one that begins with a dot."""
    if host in names:
        return True
    parts = host.split(".")
    return any("." + ".".join(parts[n:]) in names for n in range(1, len(parts)))


def _moved(request: UpstreamRequest, plan: Plan, origin: Origin, target: str) -> UpstreamRequest:
    """The same request elsewhere."""
    headers = request.headers
    if origin != request.origin:
        headers = headers.without(("Authorization", "Cookie"))
    return replace(
        request,
        origin=origin,
        target=target,
        headers=headers.without(("Host",)),
        host=None,
        moved=origin != plan.origin,
    )


def parse_url(url: str) -> tuple[Origin, str] | None:
    """Origin and target of an absolute http(s) URL without its fragment; None if it is not a plain one,
    carries user information, or holds bytes that a URL may not hold."""
    url = url.partition("#")[0]
    parsed = urls.parse_url(url)
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0]
    if parsed is None or "@" in authority or _UNWISE.search(url):
        return None
    origin, target, _ = parsed
    return origin, target
