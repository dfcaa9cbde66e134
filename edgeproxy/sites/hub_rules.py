"""The rules of a hub's kinds of resources."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeproxy import config
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import SiteContext

FOREVER_SECONDS = 31_536_000.0  # a year, the longest lifetime that is believed
STALE_SECONDS = 365 * 86400.0  # names of commits are better old than missing
PATIENCE_SECONDS = 4.0  # clients wait ten seconds for a HEAD, which may take two questions
HEDGE_SECONDS = 3.0  # of silence: a second question may still be answered before clients give up
PAGE_BYTES_MAX = 64 << 20

# Clients do not try again after the first, and end at once after the second.
UNREACHABLE = 504
OFFLINE = 424

# All that says "not now" rather than "no". 429 is not among them: how long to wait is told by its fields,
# and what is stored is served meanwhile.
ERROR_STATUSES = frozenset({408, 425, *range(500, 600)})
# Upstream is always asked in the same words, so nothing of a client's request selects a variant.
VARY_IGNORE = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "user-agent",
        "cookie",
        "origin",
        "authorization",
        "range",
    }
    | {"access-control-request-headers", "access-control-request-method", "referer", "x-requested-with"}
)


@dataclass(frozen=True, slots=True)
class HubRules:
    """`info` is what changes with a branch, `personal` what belongs to one caller and is not kept, `listing`
    a page of the listing of a commit, `passing` what is asked anew each time."""

    info: Rules
    personal: Rules
    listing: Rules
    file: Rules
    passing: Rules


def hub_rules(settings: config.Site, context: SiteContext) -> HubRules:
    offline = settings.offline or context.offline
    max_stale = STALE_SECONDS if settings.max_stale is None else settings.max_stale
    info = Rules(
        ttl=settings.revision_ttl,
        ttl_max=settings.revision_ttl,
        negative_ttl=0.0,
        negative_in_memory=True,
        stale_if_error=max_stale,
        stale_when_disconnected=max_stale,
        error_statuses=ERROR_STATUSES,
        stale_statuses=frozenset({429}),
        patience=PATIENCE_SECONDS,
        offline=offline,
        honour_request_directives=False,
        vary_ignore=VARY_IGNORE | {name.lower() for name in settings.vary_ignore},
        strip_cookie=True,
        strip_set_cookie=True,
        body_bytes_max=min(settings.body, PAGE_BYTES_MAX),
        unavailable_status=OFFLINE if offline else UNREACHABLE,
        retries=2,
        hedge_after=HEDGE_SECONDS,
        error_memory=1.0,
    )
    listing = replace(info, ttl=FOREVER_SECONDS, ttl_max=None, immutable=True, force_store=True)
    return HubRules(
        info=info,
        personal=replace(info, ttl=0.0, stale_if_error=0.0, stale_when_disconnected=0.0, patience=None),
        listing=listing,
        file=replace(listing, patience=None, body_bytes_max=settings.body, retries=3),
        passing=replace(
            info, ttl=0.0, ttl_max=0.0, patience=None, retries=0, hedge_after=None, error_memory=0.0
        ),
    )
