"""Lists of nodes, for who asks for one: by its Accept, or at the endpoint for them."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from edgeproxy.message import Headers, Request, Response
from edgeproxy.router.client import Client
from edgeproxy.router.decide import Decision
from edgeproxy.router.file_facts import FileFacts
from edgeproxy.router.ranked_list import METALINK_TYPE, json_list, metalink
from edgeproxy.router.redirects import Redirects

JSON_TYPE = "application/json"
_FORMATS = {"json": JSON_TYPE, "meta4": METALINK_TYPE}


class Wanted(NamedTuple):
    """A list of nodes for the raw `target`, as `form` (a media type)."""

    target: str
    form: str


def wanted_form(headers: Headers) -> str:
    """The form of a list that a client wants instead of a file, "" for none."""
    accept = headers.get("Accept")
    if not accept.startswith("application/"):
        return ""
    first = accept.partition(";")[0].strip(" \t")
    return first if first in _FORMATS.values() else ""


def wanted_at_endpoint(request: Request) -> Wanted | None:
    """`url` is a path here, or a whole URL of ours; `format` json or meta4. None for anything else."""
    asked = dict(part.partition("=")[::2] for part in (request.query or "").split("&"))
    form = _FORMATS.get(asked.get("format", "json"))
    target = _target_of(unquote(asked.get("url", "")), request.authority)
    if form is None or target is None or request.method not in ("GET", "HEAD"):
        return None
    return Wanted(target, form)


def _target_of(url: str, authority: str) -> str | None:
    """The raw target that a URL of ours means; None for anybody else's."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    if url.startswith("/") and not url.startswith("//"):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or parts.netloc.lower() != authority:
        return None
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def listed(
    wanted: Wanted,
    client: Client,
    decision: Decision,
    redirects: Redirects,
    *,
    facts: FileFacts,
    origin: str | None,
    generation: int,
) -> Response:
    """`origin` is the URL of the file at its origin, None if that is not known."""
    places = redirects.places(decision.ranked, wanted.target)
    if wanted.form == METALINK_TYPE:
        if not places and origin is None:
            return redirects.nobody(decision)
        return metalink(places, wanted.target.partition("?")[0], facts, origin)
    return json_list(
        client, decision, places, wanted.target, facts=facts, origin=origin, generation=generation
    )
