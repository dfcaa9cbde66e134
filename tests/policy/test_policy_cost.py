"""No text of a message may cost more than time linear in its length (threats: CPU amplification)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from edgeproxy.message import Headers, Request
from edgeproxy.policy import entity_tag, forwarding, freshness, hop_by_hop, ranges, storability, tags, variant
from edgeproxy.policy.cache_control import governing, request_directives, response_directives
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.structured import parse_dictionary

LENGTH = 32_000
HOSTILE = (" ", '"', ",", "\\", "a", "0", '\\"', 'a="', "a, ", "a=(", "\t ,", "=", 'W/"', ";q=0.", "*")


def parsers(text: str) -> list[Callable[[], object]]:
    def one(name: str) -> Headers:
        return Headers([(name, text)])

    return [
        lambda: response_directives(text),
        lambda: request_directives(one("Cache-Control")),
        lambda: governing(one("CDN-Cache-Control"), ("CDN-Cache-Control",)),
        lambda: parse_dictionary(text),
        lambda: entity_tag.parse_list(text),
        lambda: freshness.age_value(one("Age")),
        lambda: hop_by_hop.check_nominations(one("Connection")),
        lambda: forwarding.loops(Request("GET", "/", Headers([("Via", text), ("CDN-Loop", text)])), "edge"),
        lambda: ranges.parse("bytes=" + text, 1000, 16),
        lambda: storability.sets_identity(one("Set-Cookie")),
        lambda: tags.tags_of(Headers([("Surrogate-Key", text), ("Cache-Tag", text)])),
        lambda: variant.names(one("Vary"), Rules()),
        lambda: [
            variant.normalised(name, one(name)) for name in ("accept-language", "accept-encoding", "foo")
        ],
    ]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("tail", ["", "x", '"', ","])
def test_every_parser_is_done_within_milliseconds(piece: str, tail: str) -> None:
    text = "a" + piece * (LENGTH // len(piece)) + tail
    for parse in parsers(text):
        began = time.thread_time()
        parse()
        assert time.thread_time() - began < 0.25, (piece, tail)
