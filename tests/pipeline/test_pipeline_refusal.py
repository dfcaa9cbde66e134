"""Refusal: heads that cannot answer a fill."""

from __future__ import annotations

import pytest
from pipeline_house import ORIGIN

from edgeproxy.pipeline.refusal import counts_as_failure, refused
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import Expected, Plan

PLAIN = Rules()
STRICT = Rules(unavailable_status=503, error_statuses=frozenset({404, 429, 500}))


def plan(rules: Rules = PLAIN, size: int | None = None, missing: str | None = None) -> Plan:
    return Plan(ORIGIN, "/a", rules, expected=Expected(size=size), missing=missing)


@pytest.mark.parametrize(
    ("asked", "status", "length", "is_refused"),
    [
        (plan(), 200, 5, False),
        (plan(), 500, 5, False),
        (plan(), 206, 5, True),
        (plan(size=5), 200, 5, False),
        (plan(size=5), 200, None, False),
        (plan(size=5), 200, 6, True),
        (plan(size=5), 404, 6, False),
        (plan(STRICT), 500, 5, True),
        (plan(STRICT), 429, 5, True),
        (plan(STRICT), 403, 5, False),
        (plan(STRICT), 404, 5, False),
        (plan(STRICT, missing="gone"), 404, 5, True),
    ],
)
def test_what_was_not_asked_for_is_a_failure(
    asked: Plan, status: int, length: int | None, is_refused: bool
) -> None:
    assert (refused(asked, status, length) is not None) is is_refused


def test_only_sites_with_an_answer_of_their_own_turn_statuses_into_failures() -> None:
    assert not counts_as_failure(plan(), 503)
    assert counts_as_failure(plan(STRICT), 500)
