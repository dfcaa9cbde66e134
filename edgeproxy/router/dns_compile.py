"""The map of answers from a snapshot: a decision for every country and every network known by itself.

A network is known if the operator or a node names it, or if something was learned or is remembered of it.
All others of a country get one answer, so that its scopes stay wide."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from itertools import chain

from edgeproxy.router.beliefs import AS, BGP_PREFIX, PREFIX
from edgeproxy.router.choice import Candidate
from edgeproxy.router.client import Address, Client, Network, Whereabouts, identify
from edgeproxy.router.coverage import Elsewhere
from edgeproxy.router.decide import Decision, decide
from edgeproxy.router.dns_map import WIDTH, AnswerMap, AnswerSet, Ranges, merging, overlaying
from edgeproxy.router.dns_territory import Areas, Territory
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.snapshot import Snapshot

LOOKED_AT_ONCE = 2000
READ_AT_ONCE = 40

_ANYBODY = IPv4Address("8.0.0.0")  # stands for a public address of which only the area is known

Steadiness = Callable[[RouteNode], float]


@dataclass(frozen=True, slots=True)
class MapRules:
    """`steady`: seconds until the health of a node may change at the earliest. `addresses`: nodes in one
    answer at most. `prefixes_max` networks are known by themselves at most. Times to live in seconds."""

    addresses: int = 2
    prefixes_max: int = 5_000
    ttl_least: int = 15
    ttl_most: int = 60
    steady: Steadiness | None = None


@dataclass(frozen=True, slots=True)
class _Under:
    """The map of one family before networks known by themselves are laid over it, and what it was made of."""

    areas: Areas
    by_kind: list[AnswerSet]
    ranges: Ranges[AnswerSet]


@dataclass(frozen=True, slots=True)
class Compiled:
    """`sets` are those that were decided for, each once. `decided`: decisions that say something new about
    where a group is kept. `known`: the networks known by themselves, as they are written."""

    map: AnswerMap = field(default_factory=AnswerMap)
    sets: tuple[AnswerSet, ...] = ()
    decided: tuple[tuple[Client, Decision], ...] = ()
    unders: Mapping[int, _Under] = field(default_factory=dict)
    known: Mapping[str, Network] = field(default_factory=dict)


def knowing(
    snapshot: Snapshot, most: int, read: Mapping[str, Network] | None = None
) -> Generator[None, None, dict[str, Network]]:
    """The networks known by themselves and how they are written, at most so many: what the operator says
    first, each once. Those that were `read` before are not read again, which takes 20 us."""
    found: dict[str, Network] = {}
    read = read or {}
    for number, text in enumerate(chain(_named(snapshot), _learned(snapshot))):
        if text and text not in found:
            network = read.get(text)
            if network is None:
                network = _network(text)
                text = str(network)
                network = read.get(text, network)
            if network is not None:
                found[text] = network
                if len(found) >= most:
                    break
            if len(found) % READ_AT_ONCE == 0:
                yield
        if number % LOOKED_AT_ONCE == LOOKED_AT_ONCE - 1:
            yield
    return found


def _named(snapshot: Snapshot) -> Iterator[str]:
    for _, entries in snapshot.coverage.by_network:
        yield from map(str, entries)
    for node in snapshot.nodes:
        yield from map(str, node.networks)


def _learned(snapshot: Snapshot) -> Iterator[str]:
    """ "" for what is no network. Those that something was observed of come first: what is only kept would
    go with its country otherwise, and mostly to the same node."""
    seen = ""
    for level, group, _ in snapshot.beliefs.observed:
        is_new = level in (PREFIX, BGP_PREFIX) and group != seen
        seen = group if is_new and isinstance(group, str) else seen
        yield _written(group) if is_new else ""
    yield from map(_written, snapshot.kept)


def _written(group: Hashable) -> str:
    return group if isinstance(group, str) and "/" in group else ""


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def compiling(
    snapshot: Snapshot,
    territory: Territory,
    client_of: Callable[[Network], Client],
    now: float,
    rules: MapRules,
    former: Compiled,
) -> Generator[None, None, Compiled]:
    """The work comes in steps of about a millisecond, a second of it in all where much is known: whoever
    answers questions meanwhile can do so in between. (In a thread it would have the interpreter for five
    milliseconds at each of their system calls.) What is the same as in the `former` map is used again."""
    asns = yield from _asns_that_matter(snapshot)
    making = _Making(snapshot, asns, now, rules, former.sets)
    known = yield from knowing(snapshot, rules.prefixes_max, former.known)
    ranges: dict[int, Ranges[AnswerSet]] = {}
    unders: dict[int, _Under] = {}
    for version in (4, 6):
        under = yield from making.under(version, territory, former.unders.get(version))
        blocks = []
        for network in known.values():
            if network.version == version:
                answers = making.answer(client_of(network), is_known=True)
                blocks.append((int(network.network_address), network.prefixlen, answers))
                yield
        unders[version] = under
        ranges[version] = yield from overlaying(under.ranges, blocks)
    made = AnswerMap(ranges[4], ranges[6], snapshot.generation, now)
    return Compiled(made, making.sets(), tuple(making.decided), unders, known)


def _asns_that_matter(snapshot: Snapshot) -> Generator[None, None, frozenset[int]]:
    """The AS that a decision may depend on."""
    found = set(snapshot.coverage.by_asn)
    for node in snapshot.nodes:
        found |= {node.asn, *node.asns}
    for number, (level, group, _) in enumerate(snapshot.beliefs.observed):
        if level == AS and isinstance(group, tuple):
            found.add(group[0])
        if number % LOOKED_AT_ONCE == LOOKED_AT_ONCE - 1:
            yield
    return frozenset(found)


class _Making:
    """What one compilation has decided so far."""

    def __init__(
        self,
        snapshot: Snapshot,
        asns: frozenset[int],
        now: float,
        rules: MapRules,
        former: Iterable[AnswerSet],
    ) -> None:
        self._addresses = {node.name: _addresses(node) for node in snapshot.nodes}
        nodes = tuple(node for node in snapshot.nodes if self._addresses[node.name])
        self._snapshot = replace(snapshot, nodes=nodes)
        nearest = replace(snapshot.coverage, elsewhere=Elsewhere.NEAREST)
        self._served_anyhow = replace(self._snapshot, coverage=nearest)
        self._asns = asns
        self._now, self._rules = now, rules
        self._sets = {one.content: one for one in former}
        self._by_client: dict[Client, AnswerSet] = {}
        self._used: dict[tuple[object, ...], AnswerSet] = {}
        self.decided: list[tuple[Client, Decision]] = []

    def under(
        self, version: int, territory: Territory, former: _Under | None
    ) -> Generator[None, None, _Under]:
        areas = territory.areas(version)
        by_kind = []
        for kind in areas.kinds:
            by_kind.append(self.answer(self.anybody(kind)))
            yield
        if former is not None and former.areas is areas and former.by_kind == by_kind:
            return former
        ranges = yield from merging(WIDTH[version], areas.starts, areas.indexes, by_kind)
        return _Under(areas, by_kind, ranges)

    def anybody(self, where: Whereabouts) -> Client:
        """Somebody of whom only the area is known. An AS that nothing depends on is left out, so that its
        neighbours get the same answer from the same decision."""
        asn = where.asn if where.asn in self._asns else 0
        client = identify(_ANYBODY, _Told(replace(where, asn=asn, bgp_prefix="")))
        return replace(client, address=None, prefix="", groups=(None, None, *client.groups[2:]))

    def answer(self, client: Client, *, is_known: bool = False) -> AnswerSet:
        """Of a client that `is_known` by itself there is only one: it is not looked for among others."""
        found = None if is_known else self._by_client.get(client)
        if found is None:
            found = self._decide(client)
            self._used[found.content] = found
            if not is_known:
                self._by_client[client] = found
        return found

    def sets(self) -> tuple[AnswerSet, ...]:
        return tuple(self._used.values())

    def _decide(self, client: Client) -> AnswerSet:
        decision = decide(client, None, self._snapshot, self._now)
        is_elsewhere = decision.to_origin
        if is_elsewhere:
            decision = decide(client, None, self._served_anyhow, self._now)
        elif decision.kept is not None and decision.kept != self._snapshot.kept.get(client.group):
            self.decided.append((client, decision))
        return self._shared(self._answer_set(decision, is_elsewhere=is_elsewhere))

    def _shared(self, made: AnswerSet) -> AnswerSet:
        return self._sets.setdefault(made.content, made)

    def _answer_set(self, decision: Decision, *, is_elsewhere: bool) -> AnswerSet:
        chosen = self._chosen(decision.ranked)
        both = [self._addresses[one.name] for one in chosen]
        return AnswerSet(
            tuple(one.name for one in chosen),
            tuple(a.packed for addresses in both for a in addresses if a.version == 4),
            tuple(a.packed for addresses in both for a in addresses if a.version == 6),
            self._ttl(decision, chosen),
            is_elsewhere,
        )

    def _chosen(self, ranked: Sequence[Candidate]) -> list[Candidate]:
        """The first, and others about as good: clients take any of the addresses they get."""
        if not ranked:
            return []
        first, rules = ranked[0], self._snapshot.rules
        bound = first.cost.total * rules.near_share + rules.affinity_budget_ms
        others = [
            one
            for one in ranked[1:]
            if one.cost.total <= bound
            and one.node.state is NodeState.UP
            and one.node.utilisation < rules.full
        ]
        return [first, *others][: self._rules.addresses]

    def _ttl(self, decision: Decision, chosen: Sequence[Candidate]) -> int:
        """Seconds until the health of one of the nodes may change, within bounds."""
        steady = self._rules.steady or self._usual_steadiness
        seconds = min((steady(one.node) for one in chosen), default=0.0)
        return int(min(max(min(seconds, decision.ttl), self._rules.ttl_least), self._rules.ttl_most))

    def _usual_steadiness(self, node: RouteNode) -> float:
        """A node that is not simply up, or came back lately, may change any moment."""
        returning = (
            node.started is not None and self._now - node.started < self._snapshot.rules.slow_start_seconds
        )
        return 0.0 if returning or node.state is not NodeState.UP else float(self._rules.ttl_most)


@dataclass(frozen=True, slots=True)
class _Told:
    """The geography of one client."""

    where: Whereabouts

    def whereabouts(self, address: Address) -> Whereabouts:
        return self.where


def _addresses(node: RouteNode) -> list[Address]:
    """Those that can be told of; a name or nonsense among them is passed over."""
    found: list[Address] = []
    for text in node.addresses:
        try:
            found.append(ipaddress.ip_address(text))
        except ValueError:
            continue
    return found
