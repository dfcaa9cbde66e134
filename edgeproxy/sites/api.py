"""An HTTP API: a generic site of which nothing is guessed.

What an answer says is held to (RFC 9111, RFC 9213, RFC 5861). What says nothing of its freshness is asked for
anew each time, with its validator if it has one: a guess from Last-Modified (RFC 9111 section 4.2.2), right
for files, is how clients of an API see yesterday's state. A request that fails before anything of its answer
has come is made once more."""

from __future__ import annotations

from dataclasses import replace

from edgeproxy import config
from edgeproxy.sites import generic
from edgeproxy.sites.site import Site, SiteContext

RETRIES = 1


def build(settings: config.Site, context: SiteContext) -> Site:
    """Raises ConfigurationError."""
    built = generic.build(settings, context)
    rules = replace(built.rules, heuristic_fraction=0.0, retries=RETRIES)
    return replace(built, rules=rules)
