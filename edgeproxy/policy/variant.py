"""Which of several stored responses a request selects (RFC 9111 section 4.1).

Values of request fields are normalised before they are compared, by rules that hold for the
field: two requests are alike only if no origin that follows the RFC answers them differently."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgeproxy.message import Headers
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.policy.structured import split_list

Selecting = tuple[tuple[str, str | None], ...]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_WEIGHTED = re.compile(
    r"([!#$%&'*+.^_`|~0-9a-z-]+)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?", re.ASCII
)
_NAMES_MAX = 32
_CODINGS = ("br", "gzip", "zstd")  # what clients share; others are not worth a variant


def names(headers: Headers, rules: Rules) -> tuple[str, ...] | None:
    """Lower-case field names in Vary, sorted; None if it can never match: "*", not a field name, or
    more names than anybody needs."""
    found: set[str] = set()
    for line in headers.all("Vary"):
        for name in split_list(line):
            if name == "*" or _TOKEN.fullmatch(name) is None:
                return None
            found.add(name.lower())
    if len(found) > _NAMES_MAX:
        return None
    return tuple(sorted(found - rules.vary_ignore))


def selecting(request_headers: Headers, vary: Iterable[str]) -> Selecting:
    """The fields `vary` names as this request has them, normalised; None where it has none."""
    return tuple((name, normalised(name, request_headers)) for name in vary)


def normalised(name: str, headers: Headers) -> str | None:
    """The value of one request field in the form in which it is compared."""
    lines = headers.all(name)
    if name == "accept-encoding":
        return accept_encoding(lines)
    if not lines:
        return None
    text = ", ".join(line.strip(" \t") for line in lines)
    if name == "accept-language":
        return _accept_language(text)
    # Spaces inside quotes mean something; with quotes only the ends are trimmed.
    return text if '"' in text else _tight(text)


def _tight(text: str) -> str:
    """The same list without spaces around its commas; empty members count, we know nothing of it."""
    return ",".join(part.strip(" \t") for part in text.split(","))


def _weights(text: str) -> list[tuple[str, float]] | None:
    """Lower-case tokens with their q-values; None if the list is not one."""
    found: list[tuple[str, float]] = []
    for part in split_list(text.lower()):
        match = _WEIGHTED.fullmatch(part)
        if match is None:
            return None
        found.append((match[1], 1.0 if match[2] is None else float(match[2])))
    return found


def accept_encoding(lines: Sequence[str]) -> str | None:
    """The codings worth a variant that the client takes, in one spelling; None for identity only.

    This is also what is sent upstream, so that key and request agree."""
    if not lines:
        return None
    weights = _weights(", ".join(line.strip(" \t") for line in lines))
    if weights is None:
        return None
    accepted = {coding for coding, weight in weights if weight > 0}
    refused = {coding for coding, weight in weights if weight == 0}
    if "x-gzip" in accepted or ("*" in accepted and "gzip" not in refused):
        accepted.add("gzip")
    return ", ".join(coding for coding in _CODINGS if coding in accepted) or None


def _accept_language(text: str) -> str:
    weights = _weights(text)
    if weights is None:
        return _tight(text.lower())
    ordered = sorted(set(weights), key=lambda pair: (-pair[1], pair[0]))
    return ",".join(tag if weight == 1.0 else f"{tag};q={weight:g}" for tag, weight in ordered)


def matches(
    stored: StoredResponse,
    request_headers: Headers,
    ignored: frozenset[str] = frozenset(),
    *,
    by_language: bool = True,
) -> bool:
    """Whether the request has the selecting fields of the one that brought `stored`. With
    `by_language` another Accept-Language will do if the stored language is what it prefers."""
    if stored.vary_star:
        return False
    for name, value in stored.selecting:
        if name in ignored or normalised(name, request_headers) == value:
            continue
        if by_language and name == "accept-language" and _prefers_stored(stored, request_headers):
            continue
        return False
    return True


def _prefers_stored(stored: StoredResponse, request_headers: Headers) -> bool:
    """Whether the client prefers the stored language to every other it names: nothing an origin
    could choose by Accept-Language would be better."""
    language = stored.headers.get("Content-Language").strip(" \t").lower()
    weights = _weights(request_headers.get("Accept-Language"))
    if not language or not weights:
        return False
    best = max(weight for _, weight in weights)
    return best > 0 and [tag for tag, weight in weights if weight == best] == [language]


def select(
    request_headers: Headers, variants: Sequence[StoredResponse], rules: Rules
) -> StoredResponse | None:
    """The most recent of those that match exactly, else of those in the preferred language."""
    for by_language in (False, True):
        found = [
            stored
            for stored in variants
            if matches(stored, request_headers, rules.vary_ignore, by_language=by_language)
        ]
        if found:
            return max(found, key=lambda stored: stored.response_time)
    return None
