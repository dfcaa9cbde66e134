from __future__ import annotations

import dataclasses

from edgeproxy import config
from edgeproxy.sites.hub_rules import hub_rules
from edgeproxy.sites.site import SiteContext

SETTINGS = config.Site(name="hf", kind="huggingface")


def test_names_of_commits_live_shortly_and_commits_for_ever(context: SiteContext) -> None:
    rules = hub_rules(SETTINGS, context)
    assert (rules.info.ttl, rules.info.immutable) == (60.0, False)
    assert rules.listing.immutable
    assert rules.file.immutable
    assert (rules.listing.ttl or 0) > 30_000_000
    assert rules.passing.ttl == rules.personal.ttl == 0.0


def test_what_belongs_to_one_caller_is_never_served_stale(context: SiteContext) -> None:
    rules = hub_rules(SETTINGS, context)
    assert (rules.personal.stale_if_error, rules.personal.stale_when_disconnected) == (0.0, 0.0)
    assert rules.info.stale_if_error > 86400


def test_429_reaches_the_site_and_trouble_does_not_reach_clients_as_a_no(context: SiteContext) -> None:
    rules = hub_rules(SETTINGS, context)
    assert 429 not in rules.info.error_statuses
    assert {500, 502, 503, 504} <= rules.info.error_statuses
    assert not {401, 403, 404} & rules.info.error_statuses


def test_declared_offline_is_an_error_that_clients_do_not_retry(context: SiteContext) -> None:
    rules = hub_rules(SETTINGS, dataclasses.replace(context, offline=True))
    assert (rules.file.offline, rules.file.unavailable_status) == (True, 424)
    assert hub_rules(SETTINGS, context).file.unavailable_status == 504
