"""One owner at a time; who has a partial body for a moment is waited for."""

from __future__ import annotations

import threading

from edgeproxy.storage.partial_claims import PartialClaims


def test_a_second_owner_is_refused_at_once():
    claims = PartialClaims()
    assert claims.claim("a")
    assert not claims.claim("a")
    assert not claims.claim_soon("a")
    with claims.briefly("a") as is_mine:
        assert not is_mine
    claims.release("a")
    assert claims.claim("a")


def test_an_owner_for_a_moment_is_waited_for():
    claims, results = PartialClaims(), []
    with claims.briefly("a") as is_mine:
        assert is_mine
        assert not claims.claim("a")
        waiting = threading.Thread(target=lambda: results.append(claims.claim_soon("a")))
        waiting.start()
    waiting.join(5)
    assert results == [True]
