"""Cache-Control (RFC 9111 section 5.2), its targeted relatives (RFC 9213) and Pragma.

Facts this file rests on:
- A directive's argument may be a quoted string with commas and other directives inside.
- Of two copies of a directive the more restrictive one counts, and an argument that cannot be
  parsed counts as the most restrictive: a lifetime becomes 0, a field list becomes "all fields".
- A quoted string without an end makes the whole field untrustworthy: what restricts still counts,
  and reuse needs validation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from edgeproxy.message import Headers
from edgeproxy.policy.structured import Item, parse_dictionary, split_list

LIFETIME_MAX = 31536000.0  # one year in seconds; longer promises are not believed

_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_INVALID = "\0"  # an argument nobody can send: fields never hold NUL
_PART = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")*', re.DOTALL)
_WISHES = frozenset({"cache-control", "pragma"})
_LIFETIMES = ("max-age", "s-maxage", "stale-while-revalidate", "stale-if-error")


def delta_seconds(text: str) -> float | None:
    """Non-negative whole seconds, at most LIFETIME_MAX; None if the text is anything else."""
    if _DIGITS.fullmatch(text) is None:
        return None
    significant = text.lstrip("0")
    return LIFETIME_MAX if len(significant) > 9 else min(float(significant or "0"), LIFETIME_MAX)


@dataclass(frozen=True, slots=True)
class Directives:
    """What a response allows. Lifetimes in seconds; None where the directive is absent.

    `private` and `no_cache` are the unqualified forms; the field names of the qualified forms are
    in `withheld`, lower-case."""

    public: bool = False
    private: bool = False
    no_store: bool = False
    no_cache: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    immutable: bool = False
    max_age: float | None = None
    s_maxage: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    withheld: frozenset[str] = frozenset()
    targeted: bool = False

    @property
    def lifetime(self) -> float | None:
        """s-maxage, else max-age (RFC 9111 section 4.2.1)."""
        return self.max_age if self.s_maxage is None else self.s_maxage

    @property
    def forbids_stale(self) -> bool:
        """s-maxage implies proxy-revalidate (5.2.2.10)."""
        return self.must_revalidate or self.proxy_revalidate or self.s_maxage is not None


@dataclass(frozen=True, slots=True)
class RequestDirectives:
    """What a client asks of caches (RFC 9111 section 5.2.1), in seconds; None where absent.
    `max_stale` is infinite when it came without a number."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age: float | None = None
    min_fresh: float | None = None
    max_stale: float | None = None
    stale_if_error: float | None = None


NO_WISHES = RequestDirectives()


def _split(text: str) -> tuple[list[str], bool]:
    """The parts between commas outside quoted strings, and whether every quote was closed."""
    parts: list[str] = []
    at = 0
    while at <= len(text):
        match = _PART.match(text, at)
        assert match is not None  # the pattern matches the empty string
        end = match.end()
        if end < len(text) and text[end] == '"':
            return [*parts, *text[at:].replace('"', "").split(",")], False
        parts.append(match.group())
        at = end + 1
    return parts, True


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text


def parse(text: str) -> tuple[dict[str, list[str | None]], bool]:
    """Every argument of each directive by lower-case name, None for no argument; and whether the
    field was well-formed as a whole."""
    directives: dict[str, list[str | None]] = {}
    parts, closed = _split(text)
    for part in parts:
        name, equals, argument = part.strip(" \t").partition("=")
        trimmed = name.rstrip(" \t")
        if not trimmed:
            continue
        value: str | None = None
        if equals:
            value = argument if trimmed == name and argument[:1] not in (" ", "\t") else _INVALID
        directives.setdefault(trimmed.lower(), []).append(value)
    return directives, closed


def _lifetime(arguments: Iterable[str | None]) -> float | None:
    """The shortest; 0 for one that cannot be parsed; None without any."""
    found: float | None = None
    for argument in arguments:
        seconds = 0.0 if argument is None else (delta_seconds(_unquote(argument)) or 0.0)
        found = seconds if found is None else min(found, seconds)
    return found


def _field_names(argument: str) -> frozenset[str] | None:
    """The names in `private="a, b"`; None if this is not a proper list, which then means all."""
    if len(argument) < 2 or argument[0] != '"' or argument[-1] != '"':
        return None
    names = split_list(_unquote(argument))
    if not names or not all(_TOKEN.fullmatch(name) for name in names):
        return None
    return frozenset(name.lower() for name in names)


def _qualified(arguments: Iterable[str | None]) -> tuple[bool, frozenset[str]]:
    """Whether the unqualified form is there, and the field names of the qualified ones."""
    names: frozenset[str] = frozenset()
    for argument in arguments:
        listed = None if argument is None else _field_names(argument)
        if listed is None:
            return True, frozenset()
        names |= listed
    return False, names


@lru_cache(maxsize=256)  # an upstream says few things about what it has
def response_directives(text: str) -> Directives:
    """Directives of a Cache-Control field of a response, all lines joined with ", "."""
    given, well_formed = parse(text)
    private, private_names = _qualified(given.get("private", ()))
    no_cache, no_cache_names = _qualified(given.get("no-cache", ()))
    max_age, s_maxage, while_revalidate, if_error = (_lifetime(given.get(name, ())) for name in _LIFETIMES)
    return Directives(
        public="public" in given,
        private=private,
        no_store="no-store" in given,
        no_cache=no_cache or not well_formed,
        must_revalidate="must-revalidate" in given,
        proxy_revalidate="proxy-revalidate" in given,
        must_understand="must-understand" in given,
        immutable="immutable" in given,
        max_age=max_age,
        s_maxage=s_maxage,
        stale_while_revalidate=while_revalidate,
        stale_if_error=if_error,
        withheld=private_names | no_cache_names,
    )


def _targeted(members: dict[str, Item]) -> Directives | None:
    """Directives of a targeted field; None if one we know has a value of the wrong type."""
    seconds: dict[str, float] = {}
    for name in _LIFETIMES:
        value = members.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        seconds[name] = min(max(0.0, float(value)), LIFETIME_MAX)
    lists: dict[str, tuple[bool, frozenset[str]]] = {}
    for name in ("private", "no-cache"):
        value = members.get(name, False)
        if isinstance(value, str):
            lists[name] = _qualified((f'"{value}"',))
        elif isinstance(value, bool):
            lists[name] = (value, frozenset())
        else:
            return None

    def is_set(name: str) -> bool:
        return members.get(name, False) is not False

    return Directives(
        public=is_set("public"),
        private=lists["private"][0],
        no_store=is_set("no-store"),
        no_cache=lists["no-cache"][0],
        must_revalidate=is_set("must-revalidate"),
        proxy_revalidate=is_set("proxy-revalidate"),
        must_understand=is_set("must-understand"),
        immutable=is_set("immutable"),
        max_age=seconds.get("max-age"),
        s_maxage=seconds.get("s-maxage"),
        stale_while_revalidate=seconds.get("stale-while-revalidate"),
        stale_if_error=seconds.get("stale-if-error"),
        withheld=lists["private"][1] | lists["no-cache"][1],
        targeted=True,
    )


def governing(headers: Headers, targeted: Iterable[str]) -> Directives:
    """The directives that count for this cache: those of the first targeted field that is present,
    not empty and valid (RFC 9213 section 2.2), else those of Cache-Control."""
    for name in targeted:
        if name in headers:
            members = parse_dictionary(headers.get(name))
            directives = _targeted(members) if members else None
            if directives is not None:
                return directives
    if "Cache-Control" not in headers:
        return _SILENT
    return response_directives(headers.get("Cache-Control"))


_SILENT = Directives()


def request_directives(headers: Headers) -> RequestDirectives:
    """What the client asks; Pragma counts only without Cache-Control (RFC 9111 section 5.4)."""
    if not headers.has_any(_WISHES):
        return NO_WISHES
    if "Cache-Control" not in headers:
        if "Pragma" in headers and "no-cache" in parse(headers.get("Pragma"))[0]:
            return RequestDirectives(no_cache=True)
        return NO_WISHES
    given, _ = parse(headers.get("Cache-Control"))
    max_stale: float | None = None
    for argument in given.get("max-stale", ()):
        allowed = float("inf") if argument is None else (delta_seconds(_unquote(argument)) or 0.0)
        max_stale = allowed if max_stale is None else min(max_stale, allowed)
    return RequestDirectives(
        no_store="no-store" in given,
        no_cache="no-cache" in given,
        only_if_cached="only-if-cached" in given,
        max_age=_lifetime(given.get("max-age", ())),
        min_fresh=_lifetime(given.get("min-fresh", ())),
        max_stale=max_stale,
        stale_if_error=_lifetime(given.get("stale-if-error", ())),
    )
