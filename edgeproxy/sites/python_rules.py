"""The rules of an index's kinds of resources."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeproxy import config
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.python_pages import PAGE_BYTES_MAX
from edgeproxy.sites.python_sidecars import SIDECAR_BYTES_MAX
from edgeproxy.sites.site import SiteContext

ROOT_LIST_BYTES_MAX = 128 << 20
FILE_BYTES_MAX = 4 << 30
FILE_SECONDS = 31_536_000.0  # a year, the longest lifetime that is believed
STALE_SECONDS = 7 * 86400.0
NEGATIVE_SECONDS = 60.0
SECOND_LOOK_SECONDS = 30.0
ERROR_MEMORY_SECONDS = 1.0  # shorter than the pauses of clients that try again
RETRY_AFTER_SECONDS = 2.0
HOUR = 3600.0
USED_SECONDS = 86400.0  # a page used within this time is kept fresh

# All that says "not now" rather than "no": a client gets what is stored instead.
ERROR_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
# Upstream is always asked in the same words, so nothing of a client's request selects a variant.
VARY_IGNORE = frozenset(
    {"accept", "accept-encoding", "accept-language", "user-agent", "cookie", "origin", "authorization"}
)


@dataclass(frozen=True, slots=True)
class IndexRules:
    """`unhashed` are files without a known hash, `unadvertised` sidecars and signatures no page names."""

    page: Rules
    root_list: Rules
    legacy: Rules
    provenance: Rules
    file: Rules
    unhashed: Rules
    sidecar: Rules
    unadvertised: Rules


def index_rules(settings: config.Site, context: SiteContext) -> IndexRules:
    offline = settings.offline or context.offline
    max_stale = STALE_SECONDS if settings.max_stale is None else settings.max_stale
    negative = NEGATIVE_SECONDS if settings.negative_ttl is None else settings.negative_ttl
    page = Rules(
        ttl=settings.ttl,
        ttl_default=settings.page_ttl if settings.ttl_default is None else settings.ttl_default,
        ttl_max=settings.page_ttl if settings.ttl_max is None else min(settings.ttl_max, settings.page_ttl),
        negative_ttl=negative,
        negative_in_memory=True,
        targeted=tuple(settings.targeted),
        stale_while_revalidate=settings.stale_while_revalidate,
        stale_if_error=settings.stale_if_error or max_stale,
        stale_when_disconnected=max_stale,
        error_statuses=ERROR_STATUSES,
        second_look=0.0 if settings.keep_deleted else SECOND_LOOK_SECONDS,
        patience=settings.page_timeout,
        offline=offline,
        revalidate_floor=settings.revalidate_floor,
        request_max_age_least=settings.client_max_age,
        vary_ignore=VARY_IGNORE | {name.lower() for name in settings.vary_ignore},
        strip_cookie=True,
        strip_set_cookie=True,
        body_bytes_max=min(settings.body, PAGE_BYTES_MAX),
        unavailable_status=503,
        retry_after=RETRY_AFTER_SECONDS,
        retries=1,
        error_memory=ERROR_MEMORY_SECONDS,
        # A refresh has no client, so it could not present the credentials of one.
        refresh_within=0.0 if settings.credentials == "pass" else USED_SECONDS,
        keyed_by_credential=settings.credentials == "pass",
    )
    if offline:  # what is unknown here may as well not exist: a client must not wait for it
        page = replace(page, unavailable_status=404, retry_after=None)
    if settings.keep_deleted:
        page = replace(page, error_statuses=ERROR_STATUSES | {404, 410})
    file = replace(
        page,
        refresh_within=0.0,
        unavailable_status=503,
        retry_after=RETRY_AFTER_SECONDS,
        ttl=FILE_SECONDS,
        ttl_default=None,
        ttl_max=None,
        negative_ttl=min(negative, 5.0),
        immutable=True,
        force_store=True,
        honour_request_directives=False,
        second_look=0.0,
        patience=None,
        body_bytes_max=min(settings.body, FILE_BYTES_MAX),
    )
    unhashed = replace(
        file, ttl=settings.ttl, ttl_default=HOUR, immutable=False, honour_request_directives=True
    )
    return IndexRules(
        page=page,
        root_list=replace(page, refresh_within=0.0, body_bytes_max=min(settings.body, ROOT_LIST_BYTES_MAX)),
        legacy=replace(page, ttl_default=900.0, ttl_max=None, negative_ttl=negative),
        provenance=replace(page, ttl_default=600.0),
        file=file,
        unhashed=unhashed,
        sidecar=replace(file, body_bytes_max=min(settings.body, SIDECAR_BYTES_MAX)),
        unadvertised=replace(
            unhashed, negative_ttl=HOUR, body_bytes_max=min(settings.body, SIDECAR_BYTES_MAX)
        ),
    )
