"""Every option once: its type, unit, default and one line of meaning.

Each component gets its own frozen section by constructor and never sees the rest.
`edgeproxy.configuration` reads a Config from TOML, environment and --set; `config_types` has the units."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from edgeproxy.config_parents import Parent as Parent
from edgeproxy.config_parents import Siblings as Siblings
from edgeproxy.config_proxy import Proxy
from edgeproxy.config_router import Router
from edgeproxy.config_types import Bytes, Count, FilePath, ListenAddress, Network, Seconds, Url
from edgeproxy.config_types import Section as Section
from edgeproxy.config_types import meaning as _doc


class Listen(Section, frozen=True, kw_only=True):
    """Where clients are accepted. Addresses: "host:port", "[v6]:port", "unix:/path"."""

    http: Annotated[list[ListenAddress], _doc("addresses for HTTP/1.1 and HTTP/2")] = msgspec.field(
        default_factory=lambda: ["127.0.0.1:8080"]
    )
    https: Annotated[list[ListenAddress], _doc("the same over TLS, with what [tls] says")] = []
    proxy: Annotated[
        list[ListenAddress], _doc("the same as http, for clients that take the node for their proxy")
    ] = []
    transparent: Annotated[
        list[ListenAddress], _doc("for connections a firewall turns here: edgeproxy intercept print")
    ] = []
    backlog: Annotated[Count, _doc("connections the kernel queues before accept")] = 4096
    reuse_port: Annotated[bool, _doc("SO_REUSEPORT: several processes on one address")] = False
    proxy_protocol: Annotated[
        list[Network], _doc("networks whose connections start with a PROXY v1 or v2 header")
    ] = []
    trusted_clients: Annotated[
        list[Network], _doc("networks whose X-Forwarded-* and Forwarded fields are believed")
    ] = []
    node_tokens: Annotated[
        list[str], _doc("of nodes below; if there are any, asking under an upstream's name takes one")
    ] = []


class Limits(Section, frozen=True, kw_only=True):
    """Bounds on what clients may send and hold."""

    head: Annotated[Bytes, _doc("request line and fields together")] = 32 << 10
    uri: Annotated[Bytes, _doc("request target")] = 16 << 10
    fields: Annotated[Count, _doc("fields of a request")] = 128
    body: Annotated[Bytes, _doc("content of a request")] = 1 << 30
    chunk_overhead: Annotated[Bytes, _doc("chunk extensions and trailers of a request")] = 4 << 10
    pipelined: Annotated[Bytes, _doc("unread bytes of pipelined requests kept per connection")] = 64 << 10
    connections: Annotated[Count, _doc("open client connections")] = 10_000
    connections_per_client: Annotated[Count, _doc("of one address; 0 for no limit; loopback is exempt")] = (
        1024
    )
    requests_per_connection: Annotated[Count, _doc("then the connection ends; 0 for no limit")] = 0
    streams: Annotated[Count, _doc("HTTP/2: requests answered at a time, per connection")] = 128
    stream_resets: Annotated[
        Count, _doc("HTTP/2: streams broken off in 10 s by the client or its fault; more end the connection")
    ] = 100
    idle_frames: Annotated[
        Count, _doc("HTTP/2: frames in 10 s beyond those that go with requests and content")
    ] = 2000
    stream_window: Annotated[Bytes, _doc("HTTP/2: content of a request sent ahead of being read")] = 4 << 20
    connection_window: Annotated[Bytes, _doc("HTTP/2: the same for all requests of a connection")] = 16 << 20
    write_buffer: Annotated[Bytes, _doc("bytes waiting for a slow reader, per connection")] = 256 << 10
    ranges: Annotated[Count, _doc("ranges in one request; more are answered whole")] = 16
    head_timeout: Annotated[Seconds, _doc("from the first byte of a request to the end of its head")] = 10.0
    body_timeout: Annotated[Seconds, _doc("between two pieces of a request body")] = 30.0
    idle_timeout: Annotated[Seconds, _doc("of a keep-alive connection between requests")] = 75.0
    write_timeout: Annotated[Seconds, _doc("without a reader taking a byte")] = 30.0
    handshake_timeout: Annotated[
        Seconds, _doc("from an accepted connection to the end of its TLS handshake; PROXY header included")
    ] = 10.0
    handshakes: Annotated[
        Count, _doc("TLS handshakes at a time; more wait, until one ends or has taken a second")
    ] = 1024
    drain_timeout: Annotated[Seconds, _doc("for running answers after SIGTERM")] = 30.0
    memo: Annotated[Count, _doc("request heads answered without parsing; 0 switches the memo off")] = 4096
    memo_head: Annotated[Bytes, _doc("longest request head remembered")] = 4 << 10


class Sni(Section, frozen=True, kw_only=True):
    """A further certificate, for clients that ask for one of its names."""

    certificate: Annotated[FilePath, _doc("PEM: the certificate, then those between it and its root")]
    key: Annotated[FilePath, _doc('PEM; "" where the key is in the same file')] = ""
    names: Annotated[list[str], _doc('"host" or "*.host"; [] for those in the certificate')] = []


class Tls(Section, frozen=True, kw_only=True):
    """Certificates of the https listeners. Files are read again when they change."""

    certificate: Annotated[FilePath, _doc("PEM: the certificate, then those between it and its root")] = ""
    key: Annotated[FilePath, _doc('PEM, without a passphrase; "" where the key is in the same file')] = ""
    self_signed: Annotated[
        bool, _doc("for trying out: make a certificate and keep it in the cache directory")
    ] = False
    sni: Annotated[
        list[Sni],
        _doc("further certificates: [[tls.sni]] with certificate, key and names (unset: its own)"),
    ] = []
    client_certificates: Annotated[
        Literal["off", "optional", "required"], _doc("whether clients are asked for a certificate")
    ] = "off"
    client_ca: Annotated[
        FilePath, _doc("PEM: authorities of client certificates, or such certificates themselves")
    ] = ""
    minimum: Annotated[Literal["1.2", "1.3"], _doc("least TLS version")] = "1.2"
    kernel: Annotated[
        bool, _doc("let the kernel encrypt where it can: Linux module tls, Python 3.12 or later")
    ] = True
    reload: Annotated[Seconds, _doc("between two looks whether a file has changed; 0 for never")] = 5.0


class Admin(Section, frozen=True, kw_only=True):
    """Control plane: /healthz /readyz /metrics /api/v1/..."""

    listen: Annotated[ListenAddress, _doc('address; "" switches the admin listener off')] = "127.0.0.1:8081"
    token: Annotated[str, _doc("bearer token; required to listen off loopback")] = ""
    hosts: Annotated[
        list[str], _doc("further Host names requests may bear; loopback and listen are always known")
    ] = []


class Cache(Section, frozen=True, kw_only=True):
    """What is kept, and where."""

    directory: Annotated[FilePath, _doc('"" for edgeproxy in the user\'s cache directory')] = ""
    disk: Annotated[Bytes, _doc("disk tier; 0 for 20 % of what is free, at most 100GiB")] = 0
    on_disk: Annotated[bool, _doc("false: in RAM only, bodies up to memory_body, while it runs")] = True
    memory: Annotated[Bytes, _doc("RAM tier")] = 256 << 20
    memory_body: Annotated[
        Bytes,
        _doc("largest body in the RAM tier"),
    ] = 1 << 20
    memory_eviction: Annotated[
        Literal["lru", "s3-fifo", "sieve", "w-tinylfu"], _doc("which responses leave the RAM tier")
    ] = "w-tinylfu"
    small_body: Annotated[Bytes, _doc("bodies up to this size are written behind, from RAM")] = 256 << 10
    open_bodies: Annotated[
        Count, _doc("bodies on disk kept open for the next request, at most an eighth of the descriptors")
    ] = 256
    free_space: Annotated[Bytes, _doc("never fill the file system beyond this much free space")] = 1 << 30
    quarantine: Annotated[Bytes, _doc("wrong bodies kept for a look at them; 0 for none")] = 1 << 30
    sync: Annotated[bool, _doc("fsync each body before it is indexed")] = False
    variants: Annotated[Count, _doc("variants kept under one URL")] = 64
    errors: Annotated[Count, _doc("disk errors in a minute that take the disk out of use")] = 10
    retry_disk: Annotated[Seconds, _doc("until a disk out of use is tried again")] = 30.0


class Node(Section, frozen=True, kw_only=True):
    """This process."""

    name: Annotated[str, _doc('name in Cache-Status and Via; "" for edgeproxy')] = ""
    workers: Annotated[
        int | Literal["auto"], _doc("server processes; with 1 the node is one process, auto is one a core")
    ] = 1
    worker_memory: Annotated[
        Bytes, _doc("with several: answers each server repeats by itself, without asking")
    ] = 64 << 20
    offline: Annotated[bool, _doc("never ask an upstream: serve what is stored")] = False


class Log(Section, frozen=True, kw_only=True):
    """What is written where."""

    access: Annotated[Literal["json", "combined", "off"], _doc("access log format")] = "json"
    access_file: Annotated[FilePath, _doc('"" for standard error, "-" for standard output, else a file')] = ""
    level: Annotated[
        Literal["debug", "info", "warning", "error"], _doc("least level of the node's own log")
    ] = "info"
    queue: Annotated[Count, _doc("access log lines waiting to be written; more are dropped and counted")] = (
        10_000
    )


class UpstreamSection(Section, frozen=True, kw_only=True):
    """How upstreams are reached, where a site does not say otherwise."""

    connect_timeout: Annotated[Seconds, _doc("to open a connection, TLS included")] = 3.0
    head_timeout: Annotated[Seconds, _doc("from the request to the response head")] = 15.0
    progress_timeout: Annotated[Seconds, _doc("between two pieces of a body")] = 15.0
    connections_per_host: Annotated[Count, _doc("open connections to one upstream host")] = 64
    connections: Annotated[Count, _doc("open connections to all upstreams")] = 512
    head: Annotated[Bytes, _doc("status line and fields of a response together")] = 64 << 10
    fields: Annotated[Count, _doc("fields of a response")] = 128
    http2: Annotated[bool, _doc("offer HTTP/2 over TLS")] = True
    ca_file: Annotated[FilePath, _doc('trusted roots, PEM; "" for the system\'s')] = ""
    proxy: Annotated[
        str,
        _doc('http proxy that leads out; "environment" for HTTPS_PROXY and NO_PROXY; "" for none'),
    ] = "environment"
    direct: Annotated[
        list[str], _doc('hosts reached without it, and those below; "host:port", addresses, networks')
    ] = []
    nameservers: Annotated[list[str], _doc("[] for those of the system")] = []
    dns_ttl_max: Annotated[Seconds, _doc("longest use of a DNS answer")] = 300.0
    dns_stale: Annotated[Seconds, _doc("use of an expired DNS answer while the resolver fails")] = 86400.0
    origin: Annotated[
        Literal["last", "never"],
        _doc("origins of a site that has parents: asked when no parent answers, or forbidden to all sites"),
    ] = "last"


class Fill(Section, frozen=True, kw_only=True):
    """How answers are fetched into the store."""

    window: Annotated[Bytes, _doc("received but not yet stored, per fill; then upstream pauses")] = 4 << 20
    finish_share: Annotated[
        float, _doc("a fill nobody reads goes on when this share is there"), msgspec.Meta(ge=0, le=1)
    ] = 0.25
    sparse: Annotated[
        Bytes, _doc("bodies larger than this are kept in parts: ranges fetch what they touch")
    ] = 1 << 20
    fetches: Annotated[Count, _doc("upstream exchanges for one such body at a time")] = 32
    parallel: Annotated[
        Count, _doc("of these, side by side for one reader while that makes it faster; 1: never")
    ] = 6
    waiters: Annotated[Count, _doc("requests waiting on one fill; more are answered 503")] = 10_000
    background: Annotated[Count, _doc("background revalidations at a time")] = 64
    prefetch: Annotated[
        Count, _doc("fetches at a time of what clients will probably ask next; 0 switches that off")
    ] = 2


class Site(Section, frozen=True, kw_only=True):
    """What is served. `kind` decides which of the options below are used."""

    name: Annotated[str, _doc("for logs, metrics and purges")]
    kind: Annotated[str, _doc("generic | api | python-index | huggingface | an entry point")] = "generic"
    mount: Annotated[str, _doc('path prefix; the longest wins; "" with hosts means any path')] = ""
    hosts: Annotated[list[str], _doc("Host values this site answers; [] for any")] = []
    origin: Annotated[Url, _doc("generic, api: URL requests go to, with an optional path prefix")] = ""
    index: Annotated[Url, _doc('python-index: URL of the simple index; "" as pip is configured')] = ""
    offline: Annotated[bool, _doc("never ask upstream")] = False
    http2: Annotated[
        Literal["auto", "prior-knowledge", "off"],
        _doc("generic, api: auto: as TLS negotiates it; otherwise at once, or never"),
    ] = "auto"
    verify_tls: Annotated[bool, _doc("verify upstream certificates")] = True
    ca_file: Annotated[FilePath, _doc("trusted roots for this upstream, PEM")] = ""
    private_addresses: Annotated[
        bool | None, _doc("upstream may be at a private address; unset: as configured URLs say")
    ] = None
    rewrite: Annotated[
        list[list[str]], _doc("generic, api: [prefix, replacement] pairs for the path; the first that fits")
    ] = []
    host_header: Annotated[
        str, _doc('Host sent upstream; "" for the origin\'s, "client" for the client\'s')
    ] = ""
    ttl: Annotated[Seconds | None, _doc("lifetime of storable answers, whatever they say")] = None
    ttl_default: Annotated[Seconds | None, _doc("lifetime of answers that say nothing")] = None
    ttl_max: Annotated[Seconds | None, _doc("longest lifetime believed")] = None
    negative_ttl: Annotated[Seconds | None, _doc("lifetime of 404 and 410 that say nothing")] = None
    stale_while_revalidate: Annotated[Seconds, _doc("where the answer says nothing")] = 0.0
    stale_if_error: Annotated[Seconds, _doc("where the answer says nothing")] = 0.0
    max_stale: Annotated[Seconds | None, _doc("age limit of stale answers while disconnected")] = None
    force_cache: Annotated[bool, _doc("generic, api: store 200 that do not say whether they may be")] = False
    query: Annotated[Literal["keep", "sort", "drop"], _doc("generic, api: query in key and request")] = "keep"
    query_ignore: Annotated[list[str], _doc("generic, api: parameters removed from key and request")] = []
    cookies: Annotated[
        Literal["pass", "strip"], _doc("generic, api: strip removes Cookie and Set-Cookie and stores anyway")
    ] = "pass"
    vary_ignore: Annotated[list[str], _doc("request fields that never select a variant")] = []
    targeted: Annotated[list[str], _doc("targeted cache-control fields, first present wins (RFC 9213)")] = (
        msgspec.field(default_factory=lambda: ["CDN-Cache-Control"])
    )
    body: Annotated[Bytes, _doc("largest body stored")] = 1 << 40
    prefetch: Annotated[Bytes, _doc("a range of something absent fetches all of it up to this size")] = (
        1 << 20
    )
    page_ttl: Annotated[Seconds, _doc("python-index: longest freshness of a page")] = 600.0
    page_timeout: Annotated[Seconds, _doc("python-index: wait for a page when a stale one exists")] = 5.0
    revalidate_floor: Annotated[
        Seconds, _doc("python-index: least time between forced revalidations of a page")
    ] = 2.0
    client_max_age: Annotated[
        Seconds, _doc("python-index: a client's smaller max-age on a page is read as this; pip sends 0")
    ] = 600.0
    link_hosts: Annotated[list[str], _doc("python-index: further hosts whose files are served")] = []
    foreign: Annotated[Literal["pass", "drop"], _doc("python-index: links to hosts not served")] = "pass"
    offline_filter: Annotated[bool, _doc("python-index: offline pages list stored files only")] = True
    keep_deleted: Annotated[bool, _doc("python-index: serve what upstream removed")] = False
    serial_guard: Annotated[Literal["auto", "off"], _doc("python-index: refuse pages older than ours")] = (
        "auto"
    )
    root_list: Annotated[bool, _doc("python-index: pass the list of all projects through")] = True
    private: Annotated[
        list[str], _doc("python-index: project patterns of which only `index` is ever asked")
    ] = []
    upstreams: Annotated[
        list[Url], _doc("python-index: further indexes; a name belongs to the first that has it")
    ] = []
    min_release_age: Annotated[Seconds, _doc("python-index: hide files younger than this")] = 0.0
    require_hash: Annotated[bool, _doc("python-index: hide and refuse files without a SHA-256")] = False
    names_per_client: Annotated[
        int, _doc("python-index: unknown projects a client may ask for in a second; 0: any number")
    ] = 50
    blocked: Annotated[list[str], _doc("python-index: project patterns answered 403")] = []
    credentials: Annotated[
        Literal["none", "static", "pass"], _doc("python-index: Authorization towards upstream")
    ] = "none"
    credentials_file: Annotated[FilePath, _doc("python-index: file holding user:password for static")] = ""
    endpoint: Annotated[Url, _doc("huggingface: URL of the hub")] = "https://huggingface.co"
    token: Annotated[str, _doc("huggingface: hub token for clients that bring none")] = ""
    token_file: Annotated[FilePath, _doc("huggingface: file holding that token")] = ""
    revision_ttl: Annotated[Seconds, _doc("huggingface: until a branch or tag is asked for again")] = 60.0
    access_ttl: Annotated[
        Seconds, _doc("huggingface: until the hub is asked again whether a client may read a repository")
    ] = 300.0
    access_grace: Annotated[
        Seconds, _doc("huggingface: a token's permission counts this long while the hub cannot be asked")
    ] = 86400.0
    content_hosts: Annotated[
        list[str],
        _doc('huggingface: further hosts the hub may redirect to for files; ".x" for all names under x'),
    ] = []
    xet: Annotated[
        Literal["strip", "serve", "pass"],
        _doc("huggingface: Xet is hidden, served by the node, or left to the hub"),
    ] = "strip"
    xet_above: Annotated[
        Bytes,
        _doc("huggingface: larger files come by Xet even where it is hidden: clients demand it"),
    ] = 46 << 30
    uploads: Annotated[
        Literal["pass", "refuse"], _doc("huggingface: what changes the hub is passed on, or answered 403")
    ] = "pass"
    options: Annotated[dict[str, Any], _doc("options of an entry point's own kind")] = {}


class Config(Section, frozen=True, kw_only=True):
    """A whole configuration."""

    listen: Listen = Listen()
    tls: Tls = Tls()
    admin: Admin = Admin()
    cache: Cache = Cache()
    node: Node = Node()
    log: Log = Log()
    limits: Limits = Limits()
    upstream: UpstreamSection = UpstreamSection()
    siblings: Siblings = Siblings()
    fill: Fill = Fill()
    proxy: Proxy = Proxy()
    router: Router = Router()
    parent: list[Parent] = []
    site: list[Site] = []


def default_sites() -> tuple[Site, ...]:
    """What is served when a configuration names no site: the package index this machine's pip uses, and
    the public hub of models."""
    return (
        Site(name="pypi", kind="python-index", mount="/pypi"),
        Site(name="hf", kind="huggingface", mount="/hf"),
    )
