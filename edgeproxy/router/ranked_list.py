"""Several nodes for one file, for clients that can use more than one: a ranked list as JSON, Link fields
(RFC 6249) and a Metalink document (RFC 5854). Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape, quoteattr

import orjson

from edgeproxy.message import BytesBody, Headers, Pair, Response
from edgeproxy.router.choice import Candidate
from edgeproxy.router.client import Client
from edgeproxy.router.decide import Decision
from edgeproxy.router.file_facts import FileFacts

METALINK_TYPE = "application/metalink4+xml"
_NO_STORE: Pair = ("Cache-Control", "no-store")


def link_fields(ranked: Sequence[tuple[Candidate, str]], duplicates: int, sha256: str) -> list[Pair]:
    """`ranked` are nodes with the URL of the file there. RFC 6249 section 3: `pri` 1 is the best; the digest
    (section 6) is what makes copies of one file of them."""
    fields: list[Pair] = [
        ("Link", f"<{url}>; rel=duplicate; pri={place}{_geo(one)}")
        for place, (one, url) in enumerate(ranked[: 1 + duplicates], 1)
    ]
    if sha256:
        digest = base64.b64encode(bytes.fromhex(sha256)).decode()
        fields += [("Digest", f"SHA-256={digest}"), ("Repr-Digest", f"sha-256=:{digest}:")]
    return fields


def _geo(one: Candidate) -> str:
    """RFC 6249 section 3.2: the country of a copy."""
    code = country_of(one)
    return f"; geo={code.lower()}" if code else ""


def country_of(one: Candidate) -> str:
    """The country a node stands in, if that is how its region is named."""
    region = one.node.region
    return region if len(region) == 2 and region.isalpha() else ""


def metalink(
    ranked: Sequence[tuple[Candidate, str]], path: str, facts: FileFacts, origin: str | None
) -> Response:
    """RFC 5854. The name of a file is the last part of its path: nothing else would be safe to write to."""
    name = unquote(path.rpartition("/")[2], errors="replace") or "file"
    name = "".join(sign for sign in name if sign.isprintable() and sign not in '/\\"') or "file"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<metalink xmlns="urn:ietf:params:xml:ns:metalink">',
        f"  <file name={quoteattr(name if name not in ('.', '..') else 'file')}>",
    ]
    if facts.size >= 0:
        lines.append(f"    <size>{facts.size}</size>")
    if facts.sha256:
        lines.append(f'    <hash type="sha-256">{facts.sha256}</hash>')
    for place, (one, url) in enumerate(ranked, 1):
        code = country_of(one).lower()
        where = f' location="{code}"' if code else ""
        lines.append(f'    <url{where} priority="{place}">{escape(url)}</url>')
    if origin is not None:
        lines.append(f'    <url priority="{len(ranked) + 1}">{escape(origin)}</url>')
    lines += ["  </file>", "</metalink>", ""]
    body = BytesBody("\n".join(lines).encode())
    return Response(200, Headers((("Content-Type", METALINK_TYPE), _NO_STORE)), body)


def json_list(
    client: Client,
    decision: Decision,
    ranked: Sequence[tuple[Candidate, str]],
    path: str,
    *,
    facts: FileFacts,
    origin: str | None,
    generation: int,
) -> Response:
    """The whole decision, for a client that tries one after the other. Milliseconds and kilometres."""
    told: dict[str, Any] = {
        "path": path,
        "client": {
            "prefix": client.prefix,
            "country": client.whereabouts.country,
            "asn": client.whereabouts.asn,
        },
        "reason": decision.reason,
        "nodes": [_told(one, url) for one, url in ranked],
        "refused": [{"node": one.node, "reason": one.reason.value} for one in decision.refused],
        "ttl_seconds": decision.ttl,
        "map": {"generation": generation, "is_old": decision.is_old},
    }
    if facts.size >= 0:
        told["size_bytes"] = facts.size
    if facts.sha256:
        told["sha256"] = facts.sha256
    if origin is not None and (decision.to_origin or not ranked):
        told["origin"] = origin
    return Response(
        200, Headers((("Content-Type", "application/json"), _NO_STORE)), BytesBody(orjson.dumps(told))
    )


def _told(one: Candidate, url: str) -> dict[str, Any]:
    estimate = one.estimate
    return {
        "node": one.name,
        "url": url,
        "region": one.node.region,
        "rtt_ms": round(estimate.rtt, 1),
        "deviation_ms": round(estimate.deviation, 1),
        "distance_km": None if estimate.distance_km is None else round(estimate.distance_km),
        "source": estimate.source,
        "cost_ms": round(one.cost.total, 1),
    }


def described_by(endpoint: str, target: str) -> Pair:
    """RFC 6249 section 5: where the Metalink of a file is."""
    return (
        "Link",
        f'<{endpoint}?format=meta4&url={quote(target, safe="")}>; rel=describedby; type="{METALINK_TYPE}"',
    )
