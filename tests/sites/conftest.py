from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from edgeproxy.sites.site import SiteContext
from edgeproxy.upstream.upstream import Reach


def _nothing_stored(keys: Sequence[str]) -> frozenset[str]:
    return frozenset()


@pytest.fixture
def context() -> SiteContext:
    return SiteContext(
        node="edge",
        offline=False,
        reach=Reach(),
        clock=lambda: 1_000_000.0,
        stored_keys=_nothing_stored,
    )


@pytest.fixture
def offline_with(context: SiteContext) -> Callable[[frozenset[str]], SiteContext]:
    """A context without upstreams, in which these cache keys are stored."""

    def make(stored: frozenset[str]) -> SiteContext:
        return dataclasses.replace(context, offline=True, stored_keys=lambda keys: frozenset(keys) & stored)

    return make
