"""What a zone says to each question: every name that exists, with a match for each type it has and one for
all others. All of it is worked out when the zone is read; a question is then a look-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgeproxy.router.dns_map import NOWHERE, AnswerSet
from edgeproxy.router.dns_records import ASKED, Packed, Records, Sections, pack, parents
from edgeproxy.router.dns_words import (
    TYPE_A,
    TYPE_AAAA,
    TYPE_ANY,
    TYPE_CNAME,
    TYPE_DS,
    TYPE_HINFO,
    TYPE_HTTPS,
    TYPE_NS,
    TYPE_SOA,
    Rcode,
)

ANY_TTL = 3600
_ANY = (b"\7RFC8482\0",)  # RFC 8482 section 4.2: HINFO with this processor and no system
CHAIN_MAX = 8
PACKED_MAX = 4096


@dataclass(frozen=True, slots=True)
class Routed:
    """A routed name as it is answered: `service` is the HTTPS record without hints, b"" if there is none;
    `elsewhere` the addresses for clients of countries that are not served, packed, by type."""

    service: bytes = b""
    elsewhere: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)

    def has_any(self, answers: AnswerSet) -> bool:
        return bool(answers.nodes) or (answers.is_elsewhere and any(self.elsewhere.values()))

    def addresses(self, rtype: int, answers: AnswerSet) -> tuple[bytes, ...]:
        if answers.is_elsewhere and any(self.elsewhere.values()):
            return self.elsewhere.get(rtype, ())
        return answers.v4 if rtype == TYPE_A else answers.v6

    def rdata(self, rtype: int, answers: AnswerSet) -> tuple[bytes, ...]:
        if rtype == TYPE_HTTPS:
            return (self.service + self._hints(answers),) if self.service else ()
        return self.addresses(rtype, answers)

    def _hints(self, answers: AnswerSet) -> bytes:
        """RFC 9460 section 7.3: ipv4hint (4) and ipv6hint (6), behind all keys below them."""
        parts = []
        for key, rtype in ((4, TYPE_A), (6, TYPE_AAAA)):
            packed = b"".join(self.addresses(rtype, answers))
            if packed:
                parts.append(key.to_bytes(2, "big") + len(packed).to_bytes(2, "big") + packed)
        return b"".join(parts)


ROUTED_TYPES = (TYPE_A, TYPE_AAAA, TYPE_HTTPS)


class Match:
    """What is answered to a kind of question. Without `routed` it is always `sections`. With, the records of
    that name come behind those of `sections` (a chain of CNAMEs), and `target` owns them."""

    __slots__ = ("_by_set", "_fixed", "negative", "qtype", "routed", "sections", "target")

    def __init__(
        self,
        sections: Sections,
        routed: Routed | None = None,
        *,
        qtype: int = 0,
        target: bytes = ASKED,
        negative: Records | None = None,
    ) -> None:
        self.sections, self.routed, self.qtype = sections, routed, qtype
        self.target, self.negative = target, negative
        self._fixed = pack(sections) if routed is None else None
        self._by_set: dict[AnswerSet, Packed] = {}

    def packed(self, answers: AnswerSet = NOWHERE) -> Packed:
        if self._fixed is not None:
            return self._fixed
        found = self._by_set.get(answers)
        if found is None:
            if len(self._by_set) >= PACKED_MAX:
                self._by_set.clear()
            found = self._by_set[answers] = pack(self.whole(answers))
        return found

    def whole(self, answers: AnswerSet) -> Sections:
        """The sections with the addresses of `answers`. Where no node may serve it is our failure, which
        resolvers meet with what they had before (RFC 8767), and not the name's."""
        if self.routed is None:
            return self.sections
        if not self.routed.has_any(answers):
            return Sections(Rcode.SERVFAIL, aa=False)
        rdata = self.routed.rdata(self.qtype, answers)
        if rdata:
            records = Records(self.target, self.qtype, answers.ttl, rdata)
            return replace(self.sections, answers=(*self.sections.answers, records))
        assert self.negative is not None
        soon = replace(self.negative, ttl=min(self.negative.ttl, answers.ttl))  # other nodes may have it
        return replace(self.sections, authority=(soon,))


@dataclass(slots=True)
class Name:
    """An existing name of a zone (RFC 8020: also one that only has names below it)."""

    matches: dict[int, Match]
    otherwise: Match
    is_cut: bool = False

    def match(self, qtype: int) -> Match:
        return self.matches.get(qtype, self.otherwise)


@dataclass(slots=True)
class Content:
    """What was said about one name: static records by type, and whether it is routed."""

    records: dict[int, Records] = field(default_factory=dict)
    routed: Routed | None = None


class Zone:
    """`contents` by name in wire form and lower case; the origin has SOA and NS. Raises ValueError for CNAMEs
    that lead in a circle."""

    def __init__(self, origin: bytes, contents: Mapping[bytes, Content]) -> None:
        self.origin = origin
        self._contents = dict(contents)
        for name in contents:
            for above in parents(name):
                if len(above) >= len(origin):
                    self._contents.setdefault(above, Content())
        soa = contents[origin].records[TYPE_SOA]
        minimum = int.from_bytes(soa.rdata[0][-4:], "big")
        self._negative = Records(origin, TYPE_SOA, min(soa.ttl, minimum), soa.rdata)  # RFC 2308 section 5
        self.nxdomain = Match(Sections(Rcode.NXDOMAIN, authority=(self._negative,)))
        self._nodata = Match(Sections(authority=(self._negative,)))
        self._cuts = {
            name for name, content in self._contents.items() if name != origin and TYPE_NS in content.records
        }
        self.names = {name: self._name(name) for name in self._contents}

    def _name(self, name: bytes) -> Name:
        for cut in (name, *parents(name)):
            if cut in self._cuts:
                return self._delegated(cut, is_itself=cut == name)
        content = self._contents[name]
        if TYPE_CNAME in content.records:
            return self._alias(name)
        matches = {
            rtype: Match(Sections(answers=(records,), additional=self._glue(records)))
            for rtype, records in self._asked(name).items()
        }
        if content.routed is not None:
            for rtype in ROUTED_TYPES:
                if rtype not in matches:
                    matches[rtype] = self._routed_match(content.routed, rtype, (), ASKED)
        matches[TYPE_ANY] = Match(Sections(answers=(Records(ASKED, TYPE_HINFO, ANY_TTL, _ANY),)))
        return Name(matches, self._nodata)

    def _asked(self, name: bytes) -> dict[int, Records]:
        """The records of a name with the question in place of their owner."""
        records = self._contents[name].records
        return {rtype: replace(one, owner=ASKED) for rtype, one in records.items()}

    def _routed_match(self, routed: Routed, rtype: int, chain: tuple[Records, ...], target: bytes) -> Match:
        if rtype == TYPE_HTTPS and not routed.service:
            return Match(Sections(answers=chain, authority=(self._negative,)))
        return Match(Sections(answers=chain), routed, qtype=rtype, target=target, negative=self._negative)

    def _alias(self, name: bytes) -> Name:
        """RFC 1034 section 4.3.2: a CNAME comes with what it leads to, as far as that is in the zone."""
        chain, target = self._chain(name)
        only = Match(Sections(answers=chain[:1]))
        matches = {TYPE_CNAME: only, TYPE_ANY: only}
        content = self._contents.get(target) if not self._is_below_a_cut(target) else None
        if content is None:
            inside = target == self.origin or target.endswith(self.origin)
            missing = inside and not self._is_below_a_cut(target)
            rcode = Rcode.NXDOMAIN if missing and self._wildcard(target) is None else Rcode.NOERROR
            authority = (self._negative,) if rcode is Rcode.NXDOMAIN else ()
            return Name(matches, Match(Sections(rcode, answers=chain, authority=authority)))
        for rtype, records in content.records.items():
            if rtype != TYPE_CNAME:
                matches[rtype] = Match(Sections(answers=(*chain, records)))
        if content.routed is not None:
            for rtype in ROUTED_TYPES:
                if rtype not in matches:
                    matches[rtype] = self._routed_match(content.routed, rtype, chain, target)
        return Name(matches, Match(Sections(answers=chain, authority=(self._negative,))))

    def _chain(self, name: bytes) -> tuple[tuple[Records, ...], bytes]:
        """The CNAMEs from `name` on, and the first name that has none."""
        chain: list[Records] = []
        at = name
        while len(chain) <= CHAIN_MAX:
            content = self._contents.get(at)
            found = content.records.get(TYPE_CNAME) if content else None
            if found is None:
                return tuple(chain), at
            chain.append(replace(found, owner=ASKED) if not chain else found)
            at = found.rdata[0].lower()
        raise ValueError(f"CNAMEs lead in a circle, or through more than {CHAIN_MAX} names")

    def _wildcard(self, name: bytes) -> bytes | None:
        for above in parents(name):
            if above in self._contents:
                star = b"\1*" + above
                return star if star in self._contents else None
        return None

    def _is_below_a_cut(self, name: bytes) -> bool:
        return any(one in self._cuts for one in (name, *parents(name)))

    def _delegated(self, cut: bytes, *, is_itself: bool) -> Name:
        """At and below a zone of others: where to ask instead. DS is ours, RFC 4035 section 3.1.4.1."""
        nameservers = self._contents[cut].records[TYPE_NS]
        referral = Match(Sections(aa=False, authority=(nameservers,), additional=self._glue(nameservers)))
        matches: dict[int, Match] = {}
        if is_itself:
            records = self._asked(cut).get(TYPE_DS)
            matches[TYPE_DS] = Match(Sections(answers=(records,))) if records else self._nodata
        return Name(matches, referral, is_cut=True)

    def _glue(self, nameservers: Records) -> tuple[Records, ...]:
        if nameservers.rtype != TYPE_NS:
            return ()
        found = []
        for target in nameservers.rdata:
            content = self._contents.get(target.lower())
            if content is not None:
                found += [content.records[t] for t in (TYPE_A, TYPE_AAAA) if t in content.records]
        return tuple(found)


class Zones:
    """All zones of a server."""

    def __init__(self, zones: tuple[Zone, ...]) -> None:
        self._names: dict[bytes, Name] = {}
        self._nxdomain: dict[bytes, Match] = {}
        # The longest origin comes last: what a child zone says replaces its parent's word on those names.
        for zone in sorted(zones, key=lambda one: len(one.origin)):
            for name in [name for name in self._names if _is_under(name, zone.origin)]:
                del self._names[name]
            self._names |= zone.names
            self._nxdomain |= dict.fromkeys(zone.names, zone.nxdomain)

    def match(self, name: bytes, qtype: int) -> Match | None:
        """`name` in wire form and lower case. None: it is in no zone of ours."""
        found = self._names.get(name)
        if found is not None:
            return found.match(qtype)
        for above in parents(name):
            encloser = self._names.get(above)
            if encloser is not None:
                return self._below(encloser, above, qtype)
        return None

    def _below(self, encloser: Name, above: bytes, qtype: int) -> Match:
        """The answer for a name that does not exist below one that does, RFC 4592 section 4.3.2."""
        if encloser.is_cut:
            return encloser.otherwise
        star = self._names.get(b"\1*" + above)
        if star is not None:
            return star.match(qtype)
        return self._nxdomain[above]


def _is_under(name: bytes, origin: bytes) -> bool:
    return name == origin or origin in parents(name)
