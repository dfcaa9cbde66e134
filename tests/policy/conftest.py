"""What the policy tests share: one moment, and short spellings of messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeproxy.message import Headers, Request
from edgeproxy.policy import http_date
from edgeproxy.policy.decision import Store, after
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse

NOW = 1_800_000_000.0


@pytest.fixture
def now() -> float:
    return NOW


@pytest.fixture
def date() -> Callable[[float], str]:
    """The HTTP date `offset` seconds from now."""
    return lambda offset: http_date.render(NOW + offset)


@pytest.fixture
def get() -> Callable[..., Request]:
    """A GET (or another method) with fields written as keyword_arguments."""

    def build(method: str = "GET", target: str = "/a", **fields: str) -> Request:
        pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
        return Request(method, target, Headers(pairs), authority="edge.example", received_at=NOW)

    return build


@pytest.fixture
def store(get: Callable[..., Request]) -> Callable[..., StoredResponse]:
    """The stored response that a 200 with these fields becomes; fails if it is not stored."""

    def build(
        *pairs: tuple[str, str], request: Request | None = None, rules: Rules | None = None, status: int = 200
    ) -> StoredResponse:
        rules = rules or Rules()
        decision = after(
            request or get(), status, Headers(pairs), None, rules, NOW, NOW, "http://o.example/a", "s"
        )
        assert isinstance(decision, Store), decision
        return decision.stored

    return build
