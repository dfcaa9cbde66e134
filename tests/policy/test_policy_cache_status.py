from __future__ import annotations

import pytest

from edgeproxy.errors import ProxyError, UpstreamError
from edgeproxy.message import CacheOutcome, ForwardReason, Outcome
from edgeproxy.policy.cache_status import proxy_status, render
from edgeproxy.policy.structured import parse_dictionary


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome(CacheOutcome.HIT, lifetime=29.7), "edge-1; hit; ttl=29"),
        (
            Outcome(CacheOutcome.STALE, lifetime=-5, detail="disconnected"),
            'edge-1; hit; ttl=-5; detail="disconnected"',
        ),
        (
            Outcome(CacheOutcome.MISS, forward=ForwardReason.URI_MISS, forward_status=200, stored=True),
            "edge-1; fwd=uri-miss; fwd-status=200; stored",
        ),
        (
            Outcome(
                CacheOutcome.REVALIDATED, forward=ForwardReason.STALE, forward_status=304, collapsed=True
            ),
            "edge-1; fwd=stale; fwd-status=304; collapsed",
        ),
        (Outcome(CacheOutcome.LOCAL), "edge-1"),
    ],
)
def test_each_outcome_has_its_words(outcome: Outcome, text: str) -> None:
    assert render(outcome, "edge-1") == text


def test_no_detail_or_name_can_break_the_field() -> None:
    text = render(Outcome(CacheOutcome.HIT, detail='a"b\\\r\n\u00e9', lifetime=float("inf")), "my edge")
    assert text == '"my edge"; hit; ttl=100000000000000; detail="a\\"b\\\\???"'
    assert parse_dictionary("k=" + text) == {"k": "my edge"}


def test_proxy_status_names_the_error() -> None:
    error = UpstreamError(ProxyError.CONNECTION_REFUSED, "nobody listens")
    assert proxy_status(error, "edge-1") == 'edge-1; error=connection_refused; details="nobody listens"'
