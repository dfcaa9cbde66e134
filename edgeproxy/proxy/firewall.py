"""Rules for nftables that turn connections to a transparent listener, with the routes that TPROXY needs.
Pure: settings in, text and commands out.

REDIRECT changes where a connection goes, and the kernel remembers where it was meant to go. TPROXY changes
nothing: packets are marked, a route hands those with the mark to this machine whatever their address, and
the listener's connections have the address they were meant for as their own. It needs no connection tracking,
and the listener has to be allowed to take what is not for this machine (CAP_NET_ADMIN)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

TABLE = "edgeproxy"
MARK = 0x6564  # of packets that TPROXY takes
ROUTES = 25956  # the routing table for them: the same number
PRIORITY = 6564  # of the rule that leads there

Way = Literal["redirect", "tproxy"]
WAYS: tuple[Way, ...] = ("redirect", "tproxy")
FAMILIES = ("ipv4", "ipv6")


@dataclass(frozen=True, slots=True)
class Turning:
    """`ports` are those turned to `to`, of the `families` that are listened in. `interfaces`: only what comes
    in there; () for all. With `user` what this machine's own programs ask is turned as well, but for those of
    that user: the node's own questions would come back to it for ever."""

    to: int
    ports: Sequence[int] = (80, 443)
    interfaces: Sequence[str] = ()
    user: str = ""
    way: Way = "redirect"
    families: Sequence[str] = FAMILIES


def script(turning: Turning) -> str:
    """For `nft -f -`: replaces what was there in one step."""
    chains = _redirected(turning) if turning.way == "redirect" else _left_as_they_are(turning)
    return removal() + "".join(f"{line}\n" for line in [f"table inet {TABLE} {{", *chains, "}"])


def _redirected(turning: Turning) -> list[str]:
    only = "" if len(turning.families) > 1 else f"meta nfproto {turning.families[0]} "
    turn = f"{only}{_ports(turning)} redirect to :{turning.to}"
    lines = [
        "  chain prerouting {",
        "    type nat hook prerouting priority dstnat; policy accept;",
        "    fib daddr type { local, broadcast, multicast } return",
        f"    {_interfaces(turning)}{turn}",
        "  }",
    ]
    if turning.user:
        lines += ["  chain output {", "    type nat hook output priority -100; policy accept;"]
        lines += [*_exempt(turning), f"    {turn}", "  }"]
    return lines


def _left_as_they_are(turning: Turning) -> list[str]:
    """Packets of a connection that is there already find it by their addresses; only the first one of each is
    looked at. The listener itself is not such a connection: it would draw in whatever has its port."""
    marked = f"meta mark set {MARK:#x}"
    lines = [
        "  chain prerouting {",
        "    type filter hook prerouting priority mangle; policy accept;",
        f"    meta l4proto tcp socket transparent 1 socket wildcard 0 {marked} accept",
        "    fib daddr type { local, broadcast, multicast } return",
    ]
    # What this machine's own programs ask comes in at "lo", where it was sent for its mark.
    sources = [f"iif lo meta mark {MARK:#x} "] if turning.user and turning.interfaces else []
    for source in [_interfaces(turning), *sources]:
        for family in turning.families:
            to = f"tproxy {'ip' if family == 'ipv4' else 'ip6'} to :{turning.to}"
            lines.append(f"    {source}meta nfproto {family} {_ports(turning)} {to} {marked} accept")
    lines.append("  }")
    if turning.user:
        lines += ["  chain output {", "    type route hook output priority mangle; policy accept;"]
        lines += _exempt(turning)
        lines += [f"    meta nfproto {family} {_ports(turning)} {marked}" for family in turning.families]
        lines.append("  }")
    return lines


def _exempt(turning: Turning) -> list[str]:
    return [f"    meta skuid {_quoted(turning.user)} return", "    fib daddr type local return"]


def _ports(turning: Turning) -> str:
    return f"tcp dport {{ {', '.join(str(port) for port in turning.ports)} }}"


def _interfaces(turning: Turning) -> str:
    names = ", ".join(_quoted(name) for name in turning.interfaces)
    return f"iifname {{ {names} }} " if names else ""


def removal() -> str:
    """Takes the table away, whether it is there or not."""
    return f"table inet {TABLE}\ndelete table inet {TABLE}\n"


def routes(turning: Turning) -> list[list[str]]:
    """Commands after which packets with the mark come to this machine; none for REDIRECT. They follow those
    of `without_routes`."""
    if turning.way == "redirect":
        return []
    found = []
    for family in turning.families:
        flag = "-4" if family == "ipv4" else "-6"
        to = ["fwmark", f"{MARK:#x}", "lookup", str(ROUTES), "priority", str(PRIORITY)]
        found.append(["ip", flag, "route", "replace", "local", "default", "dev", "lo", "table", str(ROUTES)])
        found.append(["ip", flag, "rule", "add", *to])
    return found


def without_routes() -> list[list[str]]:
    """Commands that undo `routes`; each fails where there is nothing to undo."""
    found = []
    for flag in ("-4", "-6"):
        found.append(["ip", flag, "rule", "del", "priority", str(PRIORITY)])
        found.append(["ip", flag, "route", "flush", "table", str(ROUTES)])
    return found


def printed(turning: Turning) -> str:
    """The whole for people: a script for `nft -f`, headed by the commands that go with it."""
    commands = [" ".join(command) for command in routes(turning)]
    if not commands:
        return script(turning)
    head = ["# Beside these rules, as root; the node needs CAP_NET_ADMIN for its listener:", *commands]
    return "".join(f"# {line.removeprefix('# ')}\n" for line in head) + script(turning)


def _quoted(text: str) -> str:
    return text if text.isdecimal() else '"' + text.replace("\\", "").replace('"', "") + '"'
