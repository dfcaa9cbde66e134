"""From the bytes of a query to the bytes of its answer. Nothing here waits.

    read (dns_query, else dns_odd) -> match (dns_zone) -> whose answer (dns_map) -> limit -> bytes

What of an answer does not depend on who asks, and how, is packed once for each name, type and answer set; the
number of these is bounded by the zones, not by what clients ask for."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from edgeproxy.message import Clock
from edgeproxy.metrics import Metrics
from edgeproxy.router.dns_cookies import CookieJar
from edgeproxy.router.dns_edns import Edns, opt_record, option
from edgeproxy.router.dns_limit import ResponseLimit, Verdict
from edgeproxy.router.dns_map import NOWHERE, AnswerMap, AnswerSet
from edgeproxy.router.dns_odd import header_only, read_odd
from edgeproxy.router.dns_query import Query, read
from edgeproxy.router.dns_records import Packed, Sections
from edgeproxy.router.dns_settings import DnsSettings
from edgeproxy.router.dns_source import Source, source_reader
from edgeproxy.router.dns_words import (
    AA,
    CLASS_IN,
    DO,
    META_TYPES,
    OPTION_COOKIE,
    OPTION_NSID,
    PLAIN_BYTES_MAX,
    QR,
    RD,
    TC,
    TCP_BYTES_MAX,
    TYPE_ANY,
    TYPE_OPT,
    Rcode,
)
from edgeproxy.router.dns_zone import Match, Zones

_HEADER = Struct("!HHHHHH")
_BARE = {rcode: Match(Sections(rcode, aa=False)) for rcode in Rcode}
_NAMES = {int(rcode): rcode.name for rcode in Rcode}
_HEADER_KIND = "header"  # of answers, for the limit


class DnsAnswers:
    """Answers of one server; `map` is replaced by whoever makes the map."""

    def __init__(
        self,
        settings: DnsSettings,
        zones: Zones,
        jar: CookieJar,
        limit: ResponseLimit,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.map = AnswerMap()
        self._zones, self._jar, self._limit = zones, jar, limit
        self._count: Callable[..., None] = metrics.count
        self._clock = clock
        self._udp_bytes_max = settings.udp_bytes_max
        self._nsid = option(OPTION_NSID, settings.nsid.encode()) if settings.nsid else b""
        self._source = source_reader(settings)
        self._opts = {flag: opt_record(settings.udp_bytes_max, 0, flag, b"") for flag in (0, DO)}

    def answer(self, data: bytes, host: str, transport: str) -> bytes | None:
        """`host` is the address it came from, `transport` "udp" or "tcp". None: nothing is sent."""
        query = read(data)
        path = "plain"
        if query is None:
            odd = read_odd(data)
            if not isinstance(odd, Query):
                return self._unreadable(data, odd, host, transport)
            query, path = odd, "odd"
        return self.reply(query, self._source(host), transport, path)

    def reply(self, query: Query, source: Source, transport: str, path: str) -> bytes | None:
        match = self._match(query)
        edns = query.edns
        answers, scope = NOWHERE, 0
        if match.routed is not None:
            answers, scope = self._answers_for(edns, source)
        packed = match.packed(answers)
        options, is_proven = b"", False
        now = self._clock()
        if edns is not None and not query.fault:
            if edns.cookie is not None:
                is_proven, cookie = self._jar.reply(edns.cookie, source.packed, int(now))
                options = option(OPTION_COOKIE, cookie)
            if edns.subnet is not None:
                options += self._subnet_option(edns, source, scope if packed.is_positive else 0)
            if edns.wants_nsid:
                options += self._nsid
        limit = TCP_BYTES_MAX
        if transport == "udp":
            limit = self._limit_of(edns)
            if not (is_proven or source.is_unlimited):
                verdict = self._limit.judge((source.network, match, answers), now)
                if verdict is not Verdict.SEND:
                    return self._limited(query, verdict, options, path)
        return self._built(query, packed, options, limit, (transport, path))

    def _match(self, query: Query) -> Match:
        if query.fault:
            return _BARE[Rcode(query.fault)]
        if query.qclass != CLASS_IN or (query.qtype in META_TYPES and query.qtype != TYPE_ANY):
            return _BARE[Rcode.REFUSED]  # among them transfers of zones
        if query.qtype == TYPE_OPT:
            return _BARE[Rcode.FORMERR]
        return self._zones.match(query.name, query.qtype) or _BARE[Rcode.REFUSED]

    def _answers_for(self, edns: Edns | None, source: Source) -> tuple[AnswerSet, int]:
        """For the client that the resolver tells of, if it does and may; else for the resolver itself."""
        if edns is not None:
            subnet = edns.subnet
            if subnet is not None and subnet.bits and source.may_tell:
                return self.map.find_subnet(subnet.version, subnet.number)
        return self.map.find(source.version, source.number), 0

    def _subnet_option(self, edns: Edns, source: Source, scope: int) -> bytes:
        subnet = edns.subnet
        if subnet is None or not source.may_tell:
            self._count("dns_subnets_total", "not-permitted")
            return b""
        self._count("dns_subnets_total", "used" if subnet.bits else "withheld")
        return subnet.option(scope)

    def _limit_of(self, edns: Edns | None) -> int:
        return PLAIN_BYTES_MAX if edns is None else max(PLAIN_BYTES_MAX, min(edns.size, self._udp_bytes_max))

    def _built(
        self, query: Query, packed: Packed, options: bytes, limit: int, labels: tuple[str, str]
    ) -> bytes:
        rcode = packed.rcode
        answers, authority, additional = packed.counts
        flags = QR | query.flags & RD | rcode & 15
        if packed.aa:
            flags |= AA
        opt = b"" if query.edns is None else self._opt(query.edns, rcode, options)
        self._count("dns_answers_total", _NAMES[rcode], *labels)
        if 12 + len(query.question) + len(packed.records) + len(opt) > limit:
            if packed.records:
                self._count("dns_truncated_total")
            return _HEADER.pack(query.id, flags | TC, 1, 0, 0, 1 if opt else 0) + query.question + opt
        header = _HEADER.pack(query.id, flags, 1, answers, authority, additional + 1 if opt else additional)
        return header + query.question + packed.records + opt

    def _opt(self, edns: Edns, rcode: int, options: bytes) -> bytes:
        if not options and rcode < 16:
            return self._opts[edns.flags & DO]
        return opt_record(self._udp_bytes_max, rcode, edns.flags, options)

    def _limited(self, query: Query, verdict: Verdict, options: bytes, path: str) -> bytes | None:
        """A client with a cookie is told to come again with the one it gets, any other to use TCP."""
        if verdict is Verdict.DROP:
            self._count("dns_limited_total", "dropped")
            return None
        self._count("dns_limited_total", "slipped")
        edns = query.edns
        if edns is not None and edns.cookie is not None and not query.fault:
            packed = _BARE[Rcode.BADCOOKIE].packed()
            return self._built(query, packed, options, PLAIN_BYTES_MAX, ("udp", path))
        return self._built(query, _BARE[Rcode.NOERROR].packed(), options, 0, ("udp", path))

    def _unreadable(self, data: bytes, rcode: Rcode | None, host: str, transport: str) -> bytes | None:
        if rcode is None:
            self._count("dns_ignored_total")
            return None
        if transport == "udp":
            key = self._source(host).network, _HEADER_KIND, None
            if self._limit.judge(key, self._clock()) is not Verdict.SEND:
                self._count("dns_limited_total", "dropped")
                return None
        self._count("dns_answers_total", rcode.name, transport, "odd")
        return header_only(data, rcode)
