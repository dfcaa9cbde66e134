from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from edgeproxy import config
from edgeproxy.sites.python_rules import FILE_BYTES_MAX, SIDECAR_BYTES_MAX, IndexRules, index_rules
from edgeproxy.sites.site import SiteContext


def made(context: SiteContext, **options: Any) -> IndexRules:
    return index_rules(config.Site(name="s", **options), context)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"ttl_max": 600.0, "negative_ttl": 60.0, "second_look": 30.0, "unavailable_status": 503}),
        ({"page_ttl": 50.0, "ttl_max": 90.0}, {"ttl_max": 50.0, "ttl_default": 50.0}),
        ({"max_stale": 9.0}, {"stale_when_disconnected": 9.0, "stale_if_error": 9.0}),
        ({"offline": True}, {"offline": True, "unavailable_status": 404, "retry_after": None}),
        ({"keep_deleted": True}, {"second_look": 0.0}),
        ({"credentials": "pass"}, {"keyed_by_credential": True, "refresh_within": 0.0}),
    ],
)
def test_options_become_rules_of_a_page(
    context: SiteContext, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    page = dataclasses.asdict(made(context, **options).page)
    assert {name: page[name] for name in expected} == expected


def test_upstreams_bad_days_are_failures_and_removals_are_not(context: SiteContext) -> None:
    assert {429, 500, 503, 520} <= made(context).page.error_statuses
    assert not {401, 403, 404, 410} & made(context).page.error_statuses
    assert {404, 410} <= made(context, keep_deleted=True).page.error_statuses


def test_only_files_with_a_known_hash_are_immutable(context: SiteContext) -> None:
    rules = made(context)
    assert rules.file.immutable
    assert rules.sidecar.immutable
    assert not any(one.immutable for one in (rules.page, rules.legacy, rules.unhashed, rules.unadvertised))


def test_a_file_is_waited_for_even_offline_clients_are_told_to_come_back(context: SiteContext) -> None:
    for offline in (False, True):
        assert made(context, offline=offline).file.unavailable_status == 503


def test_every_kind_has_a_bound_and_the_operators_is_never_exceeded(context: SiteContext) -> None:
    rules = made(context)
    assert (rules.file.body_bytes_max, rules.sidecar.body_bytes_max) == (FILE_BYTES_MAX, SIDECAR_BYTES_MAX)
    small = made(context, body=10)
    for field in dataclasses.fields(small):
        assert getattr(small, field.name).body_bytes_max == 10
