"""A link emulator: a TCP relay that puts a server at a chosen distance (model: wire.py, relay: relay.py).

    python -m benchmarks.link --to 127.0.0.1:9000 --rtt 80ms --rate 1Gbit/s

prints `link: ready HOST:PORT`, takes orders on standard input (`counts`, `cut`, `dark`, `light`, `refuse`,
`accept`, `distance rtt=20ms rate=0`), one a line, and answers each with its counts as JSON. In a program:

    async with Link(("127.0.0.1", 9000), Distance(rtt=0.08)) as link: ...   # on the loop that runs
    with LinkProcess("127.0.0.1:9000", Distance(rtt=0.08)) as link: ...     # a process of its own"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import subprocess
import sys
from dataclasses import asdict, fields
from types import TracebackType
from typing import Any, Self

from benchmarks import machine, ranged
from benchmarks.relay import Counts, Link
from benchmarks.wire import Distance

__all__ = ["Counts", "Distance", "Link", "LinkProcess", "read_distance"]

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_RATES = {"kbit/s": 125.0, "Mbit/s": 125e3, "Gbit/s": 125e6, "KiB/s": 1024.0, "MiB/s": 1048576.0, "B/s": 1.0}
_SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SHORT = ("rtt", "rate", "rate_up", "rate_down", "jitter", "window", "loss", "cut_after", "seed")


class LinkProcess:
    """A link on the load core while the `with` block lasts."""

    def __init__(self, to: str, distance: Distance, *, listen: str = "127.0.0.1:0") -> None:
        self._arguments = ["--to", to, "--listen", listen, *_flags(distance)]
        self.address = ""

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.link", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=machine.ROOT,
            preexec_fn=lambda: machine.pin(machine.load_core()),
        )
        assert self._process.stdout
        line = self._process.stdout.readline().split()
        if not line:
            raise RuntimeError("the link did not start")
        self.address = line[-1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def order(self, what: str) -> Counts:
        """One of the orders; what the link has carried so far."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return Counts(**json.loads(self._process.stdout.readline()))

    def counts(self) -> Counts:
        return self.order("counts")


async def _obey(link: Link) -> None:
    """Orders until standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := (await reader.readline()).decode().split():
        order, *settings = line
        if order == "distance":
            link.change(read_distance(settings))
        elif order in ("cut", "dark", "light", "refuse", "accept"):
            getattr(link, order)()
        elif order != "counts":
            raise SystemExit(f"no such order: {order}")
        print(json.dumps(asdict(link.counts)), flush=True)


async def _main(options: argparse.Namespace) -> None:
    to, listen = _address(options.to), _address(options.listen)
    async with Link(to, read_distance(options.distance), listen) as link:
        print(f"link: ready {link.address}", flush=True)
        if sys.stdin.isatty():
            await asyncio.Event().wait()
        await _obey(link)


# -- reading -------------------------------------------------------------------------------------


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _number(text: str, units: dict[str, Any], plain: float = 1.0) -> float:
    match = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)([A-Za-z/]*)", text)
    unit = (units | {"": plain}).get(match[2]) if match else None
    if not match or unit is None:
        raise ValueError(f"not a number with one of the units {', '.join(units)}: {text!r}")
    return float(match[1]) * float(unit)


def read_distance(settings: list[str]) -> Distance:
    """Of `rtt=80ms`, `rate=1Gbit/s` (both ways), `rate_up=`, `rate_down=`, `jitter=`, `window=4MiB`,
    `loss=1e-5`, `cut_after=`, `cut_every=`, `cut_kind=`, `slow_start=no`, `seed=`. Raises ValueError."""
    values: dict[str, Any] = {}
    known = {one.name for one in fields(Distance)} | {"rate"}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in known:
            raise ValueError(f"no such setting: {name!r}; there are {', '.join(sorted(known))}")
        if name in ("rtt", "jitter"):
            values[name] = _number(text, _SECONDS)
        elif name == "rate":
            values["rate_up"] = values["rate_down"] = _number(text, _RATES)
        elif name.startswith("rate_"):
            values[name] = _number(text, _RATES)
        elif name in ("window", "cut_after", "cut_every", "seed"):
            values[name] = int(_number(text, _SIZES))
        elif name == "loss":
            values[name] = float(text)
        else:
            values[name] = text if name == "cut_kind" else text not in ("no", "false", "0", "False")
    return Distance(**values)


def _flags(distance: Distance) -> list[str]:
    chosen = {key: value for key, value in asdict(distance).items() if value != getattr(Distance(), key)}
    return [part for key, value in chosen.items() for part in ("--distance", f"{key}={value}")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--to", required=True, help="host:port of the server")
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--distance", action="append", default=[], metavar="NAME=VALUE", help="any setting")
    for name in _SHORT:
        parser.add_argument(f"--{name.replace('_', '-')}", help=f"the same as --distance {name}=...")
    options = parser.parse_args()
    given = [(name, getattr(options, name)) for name in _SHORT]
    options.distance += [f"{name}={value}" for name, value in given if value is not None]
    try:
        read_distance(options.distance)
    except ValueError as error:
        parser.error(str(error))
    with contextlib.suppress(KeyboardInterrupt):
        ranged.run(_main(options))


if __name__ == "__main__":
    main()
