"""The nodes there are: those of the configuration, and those that announce themselves.

The configuration is above everything: what an announcement may say of a configured node is how it fares,
never where it is. An announced node lasts as long as its heartbeats come."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlsplit

from edgeproxy.router.announcement import Announcement, AnnounceRules, Refused, check_reach, check_time
from edgeproxy.router.nodes import NodeState, RouteNode
from edgeproxy.router.place import Place

NEARLY_FULL = (0.85, 0.95)
SMOOTHING = 0.5  # of utilisation, for each announcement


@dataclass(frozen=True, slots=True)
class Listed:
    """A node as somebody lists it. `probe` is the URL that tells whether it lives, "" for `url` +
    "/healthz"; `token` what it has to know to speak for itself, "" for that of all nodes."""

    node: RouteNode
    probe: str = ""
    token: str = ""

    @property
    def target(self) -> str:
        return self.probe or f"{self.node.url}/healthz"


class NodeSource(Protocol):
    """Somebody who lists nodes, like the configuration or a registry elsewhere. Never waits: who has to ask
    first asks beforehand, in the background."""

    def listed(self, now: float) -> Iterable[Listed]: ...


@dataclass(frozen=True, slots=True)
class Told:
    """What a node last told of itself."""

    announcement: Announcement
    at: float
    utilisation: float
    holds: frozenset[int] | None = None
    joined: float = 0.0


@dataclass(slots=True)
class Registry:
    """One owner. `sources` are asked after the configuration, whose names come first."""

    rules: AnnounceRules
    sources: tuple[NodeSource, ...] = ()
    _static: dict[str, Listed] = field(default_factory=dict)
    _told: dict[str, Told] = field(default_factory=dict)

    def configure(self, nodes: Iterable[Listed], rules: AnnounceRules | None = None) -> None:
        """Another configuration. What is known of nodes that stay is kept; an announced node whose name is
        configured now is announced no more. Raises ValueError for a name that stands twice."""
        static: dict[str, Listed] = {}
        for one in nodes:
            if one.node.name in static:
                raise ValueError(f"the node {one.node.name} is configured twice")
            static[one.node.name] = one
        gone = [name for name in static if name not in self._static]
        gone += [name for name in self._static if name not in static]
        for name in gone:
            self._told.pop(name, None)
        self._static = static
        self.rules = rules or self.rules

    def admit(self, token: str) -> None:
        """Whether it is the token of any node: who has none is not listened to. Raises Refused 401, 403."""
        known = {self.rules.token, *(one.token for one in self._static.values())} - {""}
        if not known:
            raise Refused(403, "no announcements are taken: there is no token for them")
        if sum([_is_same(token, one) for one in known]) == 0:
            raise Refused(401, "the token is not that of a node")

    def authorise(self, name: str, token: str) -> None:
        """Whether whoever bears `token` may speak for the node `name`. Raises Refused 401, 403."""
        static = self._static.get(name)
        expected = (static.token if static is not None else "") or self.rules.token
        if not expected:
            raise Refused(403, "no announcements are taken: there is no token for them")
        if not _is_same(token, expected):
            raise Refused(401, "the token is not the one of this node")

    def announced(self, announcement: Announcement, now: float, holds: frozenset[int] | None = None) -> bool:
        """Take what an authorised node tells. Whether it matters at once. Raises Refused 400, 403, 409, 429,
        503."""
        rules, name = self.rules, announcement.name
        before = self._told.get(name)
        check_time(announcement, now, before.announcement.sent_at if before is not None else 0.0, rules)
        if before is not None and now - before.at < rules.least_seconds:
            raise Refused(429, f"{name} announces itself too often")
        if name not in self._static:
            self._check_newcomer(announcement, before, now)
        used, joined = announcement.utilisation, now
        if before is not None:
            used = before.utilisation + SMOOTHING * (used - before.utilisation)
            holds, joined = holds if holds is not None else before.holds, before.joined
        self._told[name] = told = Told(announcement, now, used, holds, joined)
        return before is None or _differs(before, told)

    def _check_newcomer(self, announcement: Announcement, before: Told | None, now: float) -> None:
        check_reach(announcement, self.rules)
        name, url = announcement.name, announcement.url
        if before is not None and before.announcement.url != url and self._lives(before, now):
            raise Refused(409, f"the name {name} belongs to {before.announcement.url} while that lives")
        if any(one.node.name == name for source in self.sources for one in source.listed(now)):
            raise Refused(409, f"the name {name} is taken")
        if before is None and len(self._told) >= self.rules.nodes_max:
            self.expire(now)
            if len(self._told) >= self.rules.nodes_max:
                raise Refused(503, "there are too many nodes")

    def _lives(self, told: Told, now: float) -> bool:
        return now - told.at <= self.rules.heartbeat_seconds * self.rules.missed

    def expire(self, now: float) -> list[str]:
        """Forget what was told by who has missed its heartbeats. Their names; those that are not configured
        are nodes no more."""
        silent = [name for name, told in self._told.items() if not self._lives(told, now)]
        for name in silent:
            del self._told[name]
        return silent

    def listed(self, now: float) -> tuple[Listed, ...]:
        """Every node, each name once, with what it told of itself."""
        found = {name: self._faring(one, now) for name, one in self._static.items()}
        for source in self.sources:
            for one in source.listed(now):
                if one.node.name not in found:
                    found[one.node.name] = self._faring(one, now)
        for name, told in self._told.items():
            if name not in found and self._lives(told, now):
                found[name] = self._faring(Listed(_newcomer(told)), now)
        return tuple(found.values())

    def _faring(self, one: Listed, now: float) -> Listed:
        told = self._told.get(one.node.name)
        if told is None or not self._lives(told, now):
            return one
        announcement = told.announcement
        state = one.node.state
        node = replace(
            one.node,
            state=state if state is not NodeState.UP else NodeState(announcement.state),
            utilisation=told.utilisation,
            in_flight=announcement.in_flight,
            fill_ms=one.node.fill_ms or announcement.fill_ms,
            holds=told.holds,
        )
        return replace(one, node=node)


def _is_same(token: str, other: str) -> bool:
    return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), other.encode())


def _differs(before: Told, after: Told) -> bool:
    """Whether its state is another, or it has become (or is no longer) nearly full."""
    was_full = [before.utilisation >= share for share in NEARLY_FULL]
    is_full = [after.utilisation >= share for share in NEARLY_FULL]
    return before.announcement.state != after.announcement.state or was_full != is_full


def _newcomer(told: Told) -> RouteNode:
    said = told.announcement
    place = None
    if said.latitude is not None and said.longitude is not None:
        place = Place(said.latitude, said.longitude)
    host = urlsplit(said.url).hostname or ""
    is_literal = ":" in host or host.replace(".", "").isdigit()
    return RouteNode(
        said.name,
        url=said.url,
        addresses=tuple(said.addresses) or ((host,) if is_literal else ()),
        place=place,
        asn=said.asn,
        region=said.region,
        capacity=said.capacity,
        scheme=urlsplit(said.url).scheme,
        started=told.joined,
    )
