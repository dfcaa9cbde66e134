"""Options of the nodes above this one and beside it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgeproxy.config_types import FilePath, Seconds, Section, Url
from edgeproxy.config_types import meaning as _doc


class Parent(Section, frozen=True, kw_only=True):
    """A cache above this one: asked before the origin, another edgeproxy or any caching mirror."""

    name: Annotated[str, _doc('for logs, metrics and status; "" for host:port of the URL')] = ""
    url: Annotated[Url, _doc("where it is; a path is put before every target with asks own-name")]
    sites: Annotated[list[str], _doc('sites it is asked for; "*" stands for any letters')] = msgspec.field(
        default_factory=lambda: ["*"]
    )
    preference: Annotated[int, _doc("smaller ones are asked first")] = 0
    weight: Annotated[
        float, _doc("share among parents of one preference"), msgspec.Meta(gt=0, le=1_000_000)
    ] = 1.0
    region: Annotated[str, _doc("where it is, for people who read status")] = ""
    asks: Annotated[
        Literal["origin-name", "own-name"],
        _doc("whose name requests bear: the origin's for caches, its own for mirrors"),
    ] = "origin-name"
    http2: Annotated[
        Literal["auto", "prior-knowledge", "off"],
        _doc("auto: as TLS negotiates it; without TLS if it turns out to work"),
    ] = "auto"
    token: Annotated[str, _doc("sent as Proxy-Authorization: Bearer")] = ""
    token_file: Annotated[FilePath, _doc("file holding that token")] = ""
    verify_tls: Annotated[bool, _doc("verify its certificate")] = True
    ca_file: Annotated[FilePath, _doc("trusted roots for it, PEM")] = ""
    pins: Annotated[
        list[str], _doc("accept only these public keys: base64 SHA-256 of the DER key, as curl's sha256//...")
    ] = []
    certificate: Annotated[FilePath, _doc("client certificate to show, PEM")] = ""
    key: Annotated[FilePath, _doc("its key, PEM")] = ""
    connect_timeout: Annotated[Seconds, _doc("to open a connection, TLS included")] = 2.0
    head_timeout: Annotated[Seconds, _doc("from the request to the response head")] = 6.0
    progress_timeout: Annotated[Seconds, _doc("between two pieces of a body")] = 6.0


class Siblings(Section, frozen=True, kw_only=True):
    """Nodes beside this one. Each owns a share of all objects and fetches them once for all."""

    nodes: Annotated[list[Url], _doc("URLs of all of them, the same list on each; [] for none")] = []
    own: Annotated[Url, _doc("the one of them that is this node")] = ""
    token: Annotated[str, _doc("sent as Proxy-Authorization: Bearer")] = ""
    token_file: Annotated[FilePath, _doc("file holding that token")] = ""
    http2: Annotated[
        Literal["auto", "prior-knowledge", "off"],
        _doc("auto: as TLS negotiates it; without TLS if it turns out to work"),
    ] = "auto"
    verify_tls: Annotated[bool, _doc("verify their certificates")] = True
    ca_file: Annotated[FilePath, _doc("trusted roots for them, PEM")] = ""
    certificate: Annotated[FilePath, _doc("client certificate to show, PEM")] = ""
    key: Annotated[FilePath, _doc("its key, PEM")] = ""
    connect_timeout: Annotated[Seconds, _doc("to open a connection, TLS included")] = 1.0
    head_timeout: Annotated[Seconds, _doc("from the request to the response head")] = 6.0
    progress_timeout: Annotated[Seconds, _doc("between two pieces of a body")] = 6.0
