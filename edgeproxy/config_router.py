"""The router's part of the configuration: [router] with what stands below it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgeproxy.config_types import (
    Bytes,
    Count,
    FilePath,
    ListenAddress,
    Network,
    Seconds,
    Section,
    Share,
    Url,
)
from edgeproxy.config_types import meaning as _doc

Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
Policy = Literal["geo-rtt", "geo", "round-robin", "least-connections"]


class RouterNode(Section, frozen=True, kw_only=True):
    """A node clients may be sent to. All nodes serve the same sites under the same mounts."""

    name: Annotated[str, _doc("for decisions, logs, metrics and ?exclude=")]
    url: Annotated[Url, _doc("where clients are sent; a path is put before every target")]
    addresses: Annotated[list[str], _doc("IP addresses for answers of DNS; [] if only HTTP leads here")] = []
    latitude: Annotated[Latitude | None, _doc("degrees north")] = None
    longitude: Annotated[Longitude | None, _doc("degrees east")] = None
    country: Annotated[str, _doc("two letters; its place where latitude and longitude are not set")] = ""
    region: Annotated[str, _doc("for people, and for clients that have no place")] = ""
    asn: Annotated[Count, _doc("number of its AS: clients in the same one are thought nearer")] = 0
    capacity: Annotated[
        float, _doc("what it can take, in any unit common to all"), msgspec.Meta(gt=0, le=1e9)
    ] = 1.0
    weight: Annotated[float, _doc("share of the objects among near nodes"), msgspec.Meta(gt=0, le=1e6)] = 1.0
    state: Annotated[
        Literal["up", "draining", "maintenance"], _doc("draining takes no new clients, maintenance none")
    ] = "up"
    countries: Annotated[list[str], _doc("it serves these only, two letters each; [] for all")] = []
    networks: Annotated[list[Network], _doc("it serves clients of these only, or of asns; [] for all")] = []
    asns: Annotated[list[int], _doc("it serves clients of these AS only, or of networks; [] for all")] = []
    cost: Annotated[Seconds, _doc("added to what a client's way to it costs")] = 0.0
    fill: Annotated[Seconds, _doc("what a miss costs here: the way to its parent and the first byte")] = 0.0
    members: Annotated[list[str], _doc("nodes of one place that stand behind this one, by name")] = []
    probe: Annotated[
        Url, _doc("asked whether it lives: any answer but 5xx; unset: what the node answers by itself")
    ] = ""
    token: Annotated[str, _doc("it shows this when it tells of itself, instead of router.signals.token")] = ""


class RouterCoverage(Section, frozen=True, kw_only=True):
    """Clients that belong to certain nodes, as long as one of these can be used. The longest network wins,
    then an AS, then a country."""

    nodes: Annotated[list[str], _doc("names of [[router.node]]")]
    networks: Annotated[list[Network], _doc("of clients; private ones too")] = []
    asns: Annotated[list[int], _doc("of clients")] = []
    countries: Annotated[list[str], _doc("of clients, two letters each")] = []


class RouterRules(Section, frozen=True, kw_only=True):
    """How nodes are weighed. Everything is a time: what it is worth to a client."""

    access: Annotated[Seconds, _doc("what the last mile adds to distance")] = 0.010
    queue: Annotated[Seconds, _doc("what half a load costs")] = 0.005
    caution: Annotated[float, _doc("deviations added to an estimate"), msgspec.Meta(ge=0, le=10)] = 0.5
    affinity: Annotated[Seconds, _doc("how much farther an object's own node may be")] = 0.010
    affinity_large: Annotated[Seconds, _doc("the same for large objects that never change")] = 0.025
    full: Annotated[Share, _doc("utilisation beyond which a node gives clients away")] = 0.85
    overfull: Annotated[Share, _doc("utilisation beyond which it keeps none")] = 0.95
    explore: Annotated[Share, _doc("share of redirects sent where more may be learned")] = 0.01
    keep: Annotated[Seconds, _doc("a client group moves for a gain of a tenth and this ...")] = 0.003
    keep_for: Annotated[Seconds, _doc("... seen twice, so far apart")] = 30.0
    slow_start: Annotated[Seconds, _doc("until a node that came back takes its whole share")] = 120.0
    map_age: Annotated[Seconds, _doc("an older map is said to be old, and used all the same")] = 300.0


class RouterGeo(Section, frozen=True, kw_only=True):
    """Where addresses are. What is not set is told by the table of countries in the package. Files are read
    again when they change."""

    city: Annotated[FilePath, _doc("places: .mmdb of any vendor")] = ""
    asn: Annotated[FilePath, _doc("autonomous systems: .mmdb of any vendor")] = ""
    routes: Annotated[
        FilePath, _doc("a routing table: MRT, or lines of prefix, tab and number of an AS; also packed")
    ] = ""
    country_source: Annotated[
        FilePath, _doc("countries instead of the package's: geoip as distributions have it for tor")
    ] = ""
    reload: Annotated[Seconds, _doc("between two looks whether a file has changed")] = 60.0


class RouterHealth(Section, frozen=True, kw_only=True):
    """Whether nodes live: asked from here, told by nodes, noticed by what clients do."""

    interval: Annotated[Seconds, _doc("between two probes of a node; 0 for none")] = 5.0
    timeout: Annotated[Seconds, _doc("for a probe's answer")] = 2.0
    down: Annotated[Count, _doc("failed probes in a row that make a node down")] = 3
    down_of_ten: Annotated[Count, _doc("failed ones of the last ten that do the same")] = 5
    up: Annotated[Count, _doc("good ones in a row that make it up again")] = 5


class RouterSignals(Section, frozen=True, kw_only=True):
    """What nodes tell the router: that they live, their load, round trips, what they hold."""

    routers: Annotated[list[Url], _doc("told by this node: URLs of routers without a path; [] for none")] = []
    token: Annotated[str, _doc("shown by nodes, and demanded from them")] = ""
    token_file: Annotated[FilePath, _doc("file holding that token")] = ""
    interval: Annotated[Seconds, _doc("between two heartbeats")] = 10.0
    missed: Annotated[Count, _doc("missed heartbeats after which what a node told is forgotten")] = 3
    announced: Annotated[
        list[str],
        _doc('nodes not configured here may announce such URLs: "https://*.edge.example"; [] for none'),
    ] = []
    announced_networks: Annotated[list[Network], _doc("and such addresses")] = []
    round_trips: Annotated[bool, _doc("tell what the kernel measured of clients' round trips")] = True
    digest: Annotated[Bytes, _doc("largest digest of what a node holds; 0 for none")] = 256 << 10
    mesh: Annotated[Seconds, _doc("between two round trips measured to each other node; 0 for none")] = 30.0


class RouterTls(Section, frozen=True, kw_only=True):
    """TLS of this process with nodes (probes, looks at each other, requests that are passed on) and with
    routers (announcements)."""

    verify_tls: Annotated[bool, _doc("verify their certificates")] = True
    ca_file: Annotated[FilePath, _doc('trusted roots for them, PEM; "" for upstream.ca_file')] = ""
    pins: Annotated[
        list[str], _doc("accept only these public keys: base64 SHA-256 of the DER key, as curl's sha256//...")
    ] = []
    certificate: Annotated[FilePath, _doc("client certificate to show, PEM")] = ""
    key: Annotated[FilePath, _doc("its key, PEM")] = ""


class RouterZone(Section, frozen=True, kw_only=True):
    """A zone that the name server is authoritative for."""

    name: Annotated[str, _doc("of the zone")]
    names: Annotated[
        list[str], _doc('names in it that lead to near nodes; "@" is the zone, "*.x" all below x')
    ] = []
    nameservers: Annotated[list[str], _doc("its name servers; needed unless records or file hold them")] = []
    records: Annotated[list[str], _doc('further records, as in a zone file: "www 300 IN A 192.0.2.1"')] = []
    file: Annotated[FilePath, _doc("further records, in a zone file")] = ""
    alpn: Annotated[list[str], _doc('HTTPS records say that nodes speak these: "h2"; [] for none')] = []
    port: Annotated[
        int, _doc("HTTPS records say this port; 0 for the usual"), msgspec.Meta(ge=0, le=65535)
    ] = 0
    elsewhere: Annotated[list[str], _doc("IP addresses for clients of countries that are not served")] = []


class RouterDns(Section, frozen=True, kw_only=True):
    """The authoritative name server for names that lead to the nearest node."""

    listen: Annotated[list[ListenAddress], _doc("addresses for UDP and TCP; [] for no DNS")] = []
    zone: Annotated[list[RouterZone], _doc("zones: [[router.dns.zone]]")] = []
    answers: Annotated[int, _doc("addresses in an answer"), msgspec.Meta(ge=1, le=16)] = 2
    ttl_min: Annotated[Seconds, _doc("least TTL of routed names, while health is in doubt")] = 15.0
    ttl_max: Annotated[Seconds, _doc("greatest TTL of routed names")] = 60.0
    map: Annotated[Seconds, _doc("between two maps of answers, where nothing happens")] = 10.0
    client_subnet: Annotated[bool, _doc("use EDNS Client Subnet where it comes (RFC 7871)")] = True
    subnet_from: Annotated[list[Network], _doc("resolvers whose Client Subnet is believed; [] for all")] = []
    udp_size: Annotated[
        int, _doc("largest answer over UDP; longer ones are asked for by TCP"), msgspec.Meta(ge=512, le=4096)
    ] = 1232
    rate: Annotated[Count, _doc("alike answers a second to one network; more are cut; 0: any number")] = 200
    unlimited: Annotated[list[Network], _doc("networks exempt from that")] = []
    cookie_secret: Annotated[
        str, _doc("of DNS cookies (RFC 7873), common to servers of one address: 32 hexadecimal digits")
    ] = ""
    nsid: Annotated[str, _doc('name of this server in NSID; "" for node.name')] = ""
    tcp_connections: Annotated[Count, _doc("open at a time")] = 256


class Router(Section, frozen=True, kw_only=True):
    """Sends every client to its nearest healthy node: `edgeproxy route`, or inside a node."""

    enabled: Annotated[bool, _doc("inside a node: send clients on that are clearly nearer to another")] = (
        False
    )
    own: Annotated[str, _doc('the [[router.node]] that this process is; "" for none (edgeproxy route)')] = ""
    policy: Annotated[Policy, _doc("how nodes are chosen")] = "geo-rtt"
    shadow: Annotated[list[Policy], _doc("policies that are asked as well, and only counted")] = []
    secret: Annotated[
        str, _doc("common to routers and nodes: signs that a client has been sent; 32 signs or more")
    ] = ""
    secret_file: Annotated[FilePath, _doc("file holding that secret")] = ""
    redirect_above: Annotated[Bytes, _doc("files at least so large are redirected, smaller ones passed")] = (
        1 << 20
    )
    gain: Annotated[Seconds, _doc("inside a node: what another must be nearer by")] = 0.020
    endpoint: Annotated[str, _doc('path that answers with ranked lists of nodes; "" for none')] = "/route"
    duplicates: Annotated[Count, _doc("further nodes named in Link fields and Metalinks (RFC 6249)")] = 3
    private: Annotated[
        list[str],
        _doc("path prefixes served only to who is permitted upstream, or was sent with a signed URL"),
    ] = []
    private_ttl: Annotated[Seconds, _doc("how long such a URL can be used")] = 300.0
    reask: Annotated[
        Seconds, _doc("who asks again so soon, by itself, complains of where it was sent; 0: nobody")
    ] = 10.0
    retry_after: Annotated[Seconds, _doc("said with 503 when no node may serve")] = 10.0
    countries: Annotated[list[str], _doc("countries served, two letters each; [] for all")] = []
    elsewhere: Annotated[
        Literal["nearest", "origin"], _doc("where clients of other countries go: origin is the original URL")
    ] = "nearest"
    facts: Annotated[Count, _doc("files of which size and digest are remembered")] = 65_536
    facts_ttl: Annotated[Seconds, _doc("how long they are believed")] = 60.0
    node: Annotated[list[RouterNode], _doc("nodes: [[router.node]]")] = []
    coverage: Annotated[list[RouterCoverage], _doc("clients that belong to nodes: [[router.coverage]]")] = []
    rules: RouterRules = RouterRules()
    geo: RouterGeo = RouterGeo()
    health: RouterHealth = RouterHealth()
    signals: RouterSignals = RouterSignals()
    tls: RouterTls = RouterTls()
    dns: RouterDns = RouterDns()
