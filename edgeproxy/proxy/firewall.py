"""Rules for nftables that turn connections to a transparent listener. Pure: settings in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TABLE = "edgeproxy"


@dataclass(frozen=True, slots=True)
class Turning:
    """`ports` are those turned to `to`. `interfaces`: only what comes in there; () for all. With `user` what
    this machine's own programs ask is turned as well, but for those of that user: the node's own questions
    would come back to it for ever."""

    to: int
    ports: Sequence[int] = (80, 443)
    interfaces: Sequence[str] = ()
    user: str = ""


def script(turning: Turning) -> str:
    """For `nft -f -`: replaces what was there in one step."""
    ports = ", ".join(str(port) for port in turning.ports)
    turn = f"tcp dport {{ {ports} }} redirect to :{turning.to}"
    via = (
        f"iifname {{ {', '.join(_quoted(name) for name in turning.interfaces)} }} "
        if turning.interfaces
        else ""
    )
    lines = [
        f"table inet {TABLE} {{",
        "  chain prerouting {",
        "    type nat hook prerouting priority dstnat; policy accept;",
        "    fib daddr type { local, broadcast, multicast } return",
        f"    {via}{turn}",
        "  }",
    ]
    if turning.user:
        lines += [
            "  chain output {",
            "    type nat hook output priority -100; policy accept;",
            f"    meta skuid {_quoted(turning.user)} return",
            "    fib daddr type local return",
            f"    {turn}",
            "  }",
        ]
    return removal() + "".join(f"{line}\n" for line in [*lines, "}"])


def removal() -> str:
    """Takes the table away, whether it is there or not."""
    return f"table inet {TABLE}\ndelete table inet {TABLE}\n"


def _quoted(text: str) -> str:
    return text if text.isdecimal() else '"' + text.replace("\\", "").replace('"', "") + '"'
