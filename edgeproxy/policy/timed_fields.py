"""The fields of an answer as a function of time that can be sent to another process: whatever changes is
whole seconds that count up (Age) or down (max-age, ttl of RFC 9211)."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from edgeproxy.message import Headers, Pair


class Counting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`text` followed by the whole seconds since `moment`, or until it where `is_left`."""

    name: str
    text: str
    moment: float
    is_left: bool

    def at(self, now: float) -> Pair:
        seconds = self.moment - now if self.is_left else now - self.moment
        return self.name, f"{self.text}{int(max(0.0, seconds))}"


class TimedFields(msgspec.Struct, frozen=True, array_like=True):
    """Fields in order; those at the places of `counting` are made as of now."""

    pairs: tuple[Pair, ...]
    counting: tuple[tuple[int, Counting], ...]

    def fields(self, now: float) -> Headers:
        pairs = list(self.pairs)
        for place, counting in self.counting:
            pairs[place] = counting.at(now)
        return Headers(pairs)

    def changed(self, change: Callable[[Headers], Headers], now: float) -> TimedFields | None:
        """The same with fields added, removed or moved by `change`, which does not look at what counts; None
        if it did."""
        before = self.fields(now)
        pairs = change(before).pairs
        counting: list[tuple[int, Counting]] = []
        for place, one in self.counting:
            found = [at for at, pair in enumerate(pairs) if pair == before.pairs[place]]
            if len(found) > 1 or (not found and any(one.name == name for name, _ in pairs)):
                return None
            counting += [(at, one) for at in found]
        return TimedFields(pairs, tuple(counting))


def timed(fields: Headers, *, born: float, fresh_until: float, left: Collection[str]) -> TimedFields:
    """`fields` as they are at some time, with Age as seconds since `born` and what stands at the end of the
    fields `left` (lower case, the last of each name) as seconds until `fresh_until`."""
    pairs = fields.pairs
    counting: list[tuple[int, Counting]] = []
    found: set[str] = set()
    for place in range(len(pairs) - 1, -1, -1):
        name, value = pairs[place]
        lower = name.lower()
        if lower in found:
            continue
        found.add(lower)
        text = value.rstrip("0123456789")
        if lower == "age" and not text:
            counting.append((place, Counting(name, "", born, is_left=False)))
        elif lower in left and text.endswith("=") and text != value:
            counting.append((place, Counting(name, text, fresh_until, is_left=True)))
    return TimedFields(pairs, tuple(counting))
