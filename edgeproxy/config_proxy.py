"""The forward proxy's part of the configuration: [proxy]."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgeproxy.config_types import Count, FilePath, Network, Seconds, Section
from edgeproxy.config_types import meaning as _doc

PRIVATE_NETWORKS = (
    *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
    *("::1/128", "fc00::/7", "fe80::/10"),
)


class Proxy(Section, frozen=True, kw_only=True):
    """Clients that send the node wherever they want to go: CONNECT, and http:// URLs in the request line.
    Hosts that sites know are answered here, the others passed on."""

    connect: Annotated[
        Literal["all", "sites", "off"],
        _doc("where clients may go: everywhere below, to hosts that sites know, nowhere"),
    ] = "all"
    clients: Annotated[list[Network], _doc("who may; by default this machine and private networks")] = (
        msgspec.field(default_factory=lambda: list(PRIVATE_NETWORKS))
    )
    ports: Annotated[list[int], _doc("ports they may go to")] = msgspec.field(
        default_factory=lambda: [443, 80]
    )
    hosts: Annotated[list[str], _doc('hosts they may go to; "*.x" for all below x, "*" for all')] = (
        msgspec.field(default_factory=lambda: ["*"])
    )
    refused_hosts: Annotated[list[str], _doc("hosts they may not go to, whatever hosts says")] = []
    private_addresses: Annotated[
        bool, _doc("they may go to addresses that are not public: this machine and its networks")
    ] = False
    users: Annotated[
        list[str], _doc('"name:password"; if there are users or tokens, clients have to show one')
    ] = []
    tokens: Annotated[list[str], _doc("shown as Proxy-Authorization: Bearer")] = []
    intercept: Annotated[
        Literal["auto", "off"],
        _doc("https hosts that sites know are answered here, once there is a local CA (edgeproxy ca init)"),
    ] = "auto"
    ca: Annotated[FilePath, _doc('directory of the local CA; "" for ca in the cache directory')] = ""
    ca_names: Annotated[
        list[str], _doc("the CA can speak for these names only, and those below them; [] for all")
    ] = []
    web_sockets: Annotated[
        bool, _doc("web sockets of hosts that are answered here are passed on to the host itself")
    ] = True
    connect_timeout: Annotated[Seconds, _doc("until the other end of a tunnel answers")] = 5.0
    idle_timeout: Annotated[Seconds, _doc("of a tunnel without a byte in either direction")] = 600.0
    tunnels: Annotated[Count, _doc("at a time")] = 4096
