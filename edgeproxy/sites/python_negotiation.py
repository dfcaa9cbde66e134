"""Which form of a page a client wants (RFC 9110 section 12.5), as one of a closed set."""

from __future__ import annotations

import re
from enum import StrEnum

from edgeproxy.message import Headers


class PageType(StrEnum):
    """The forms of a page: JSON, HTML, and HTML under its old name."""

    JSON = "application/vnd.pypi.simple.v1+json"
    HTML = "application/vnd.pypi.simple.v1+html"
    TEXT = "text/html"


# What upstream is asked for: JSON says most, but any form will do.
ASKED = f"{PageType.JSON}, {PageType.HTML};q=0.2, {PageType.TEXT};q=0.1"

_NAMES = {
    **{kind.value: kind for kind in PageType},
    "application/vnd.pypi.simple.latest+json": PageType.JSON,
    "application/vnd.pypi.simple.latest+html": PageType.HTML,
}
_ELEMENT = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z/-]+)((?:[ \t]*;[ \t]*[^;,\"]*(?:\"[^\"]*\")?)*)[ \t]*", re.ASCII
)
_QUALITY = re.compile(r";[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*(?:;|$)", re.IGNORECASE)
_ELEMENTS_MAX = 64


def page_type(accept: str, query: str | None) -> PageType:
    """The form to answer with. `format=` in the query wins; nothing known means text/html, because
    plain tools must not get 406."""
    asked = _format(query)
    if asked is not None:
        return asked
    named, ranges = _qualities(accept)
    best: tuple[float, bool, int] = (0.0, False, 0)
    chosen = PageType.TEXT
    for rank, kind in enumerate((PageType.TEXT, PageType.HTML, PageType.JSON)):
        quality = named.get(kind, -1.0)
        by_name = quality >= 0
        if not by_name:
            quality = ranges.get(f"{kind.partition('/')[0]}/*", ranges.get("*/*", 0.0))
        # Among types only a wildcard allows, the oldest; among named ones, the one that says most.
        mark = (quality, by_name, rank if by_name else -rank)
        if quality > 0 and mark > best:
            best, chosen = mark, kind
    return chosen


def page_types(accept: str, query: str | None) -> tuple[PageType, ...]:
    """All forms that will do, the one to answer with first: the others only if they are named."""
    best = page_type(accept, query)
    if _format(query) is not None:
        return (best,)
    named, _ = _qualities(accept)
    ranked = sorted(named.items(), key=lambda item: -item[1])
    return (best, *(kind for kind, quality in ranked if quality > 0 and kind is not best))


def _format(query: str | None) -> PageType | None:
    for parameter in (query or "").split("&"):
        name, _, value = parameter.partition("=")
        kind = _NAMES.get(
            value.replace("%2F", "/").replace("%2f", "/").replace("%2B", "+").replace("%2b", "+")
        )
        if name == "format" and kind is not None:
            return kind
    return None


def _qualities(accept: str) -> tuple[dict[PageType, float], dict[str, float]]:
    """The q-values of known types, and of everything else by name."""
    named: dict[PageType, float] = {}
    ranges: dict[str, float] = {}
    for name, quality in _elements(accept):
        kind = _NAMES.get(name)
        if kind is not None:
            named[kind] = max(quality, named.get(kind, 0.0))
        else:
            ranges[name] = quality
    return named, ranges


def accepts_gzip(headers: Headers) -> bool:
    qualities = dict(_elements(headers.get("Accept-Encoding")))
    for name in ("gzip", "x-gzip", "*"):
        if name in qualities:
            return qualities[name] > 0
    return False


def _elements(text: str) -> list[tuple[str, float]]:
    found = []
    for element in text.split(",")[:_ELEMENTS_MAX]:
        matched = _ELEMENT.fullmatch(element)
        if matched is None:
            continue
        quality = _QUALITY.search(matched[2])
        malformed = quality is None and re.search(r";[ \t]*q[ \t]*=", matched[2], re.IGNORECASE)
        value = 0.0 if malformed else float(quality[1]) if quality else 1.0
        found.append((matched[1].lower(), value))
    return found
