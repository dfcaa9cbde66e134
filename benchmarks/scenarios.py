"""The scenarios there are, in the order of a report: what runs shortly, what for how long, and which programs
take part. `python -m benchmarks.scenarios` tells it as JSON, for `edgeproxy bench`."""

from __future__ import annotations

import ast
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.report import asked

FOLDER = Path(__file__).parent
SYSTEM_PATH = "/usr/sbin:/usr/local/sbin"

# Program -> the Debian package that brings it.
PACKAGES = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "varnishd": "varnish",
    "traffic_server": "trafficserver",
    "squid": "squid",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "gdnsd": "gdnsd",
    "dnsperf": "dnsperf",
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """`is_quick`: it has a run of at most nine seconds. `minutes_max`: when a full run is ended. `is_alone`:
    it runs only when it is named, because it takes long. `uses` are programs it measures or measures with."""

    name: str
    uses: tuple[str, ...] = ()
    is_quick: bool = False
    minutes_max: int = 5
    is_alone: bool = False

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.py"

    def question(self) -> str:
        """What the scenario's docstring begins with. It is not imported: it may need what is not there."""
        return asked(ast.get_docstring(ast.parse(self.file.read_text(encoding="utf-8"))) or "")


_CACHES = ("nginx", "haproxy", "varnishd", "squid", "traffic_server")
SCENARIOS = (
    Scenario("ceiling", ("wrk", "h2load")),
    Scenario("hits", (*_CACHES, "wrk"), is_quick=True),
    Scenario("http2", ("nginx", "haproxy", "h2load")),
    Scenario("tls", ("nginx", "wrk", "h2load")),
    Scenario("protocols", is_quick=True),
    Scenario("concurrency", ("nginx", "haproxy"), is_quick=True),
    Scenario("mirror", is_quick=True),
    Scenario("cache_tiers", ("nginx",), is_quick=True),
    Scenario("cold"),
    Scenario("herd", _CACHES, is_quick=True),
    Scenario("ranges", _CACHES, is_quick=True),
    Scenario("broken_origin", _CACHES, is_quick=True),
    Scenario("large", ("nginx",)),
    Scenario("tiers"),
    Scenario("tunnels", ("nginx",)),
    Scenario("redirects", ("wrk",)),
    Scenario("restart", _CACHES, is_quick=True),
    Scenario("growth", is_quick=True),
    Scenario("real_clients", is_quick=True),
    Scenario("workers", ("wrk",)),
    Scenario("dns", ("gdnsd", "dnsperf")),
    Scenario("footprint"),
    Scenario("hit_ratio", is_quick=True),
    Scenario("routing", is_quick=True),
    Scenario("soak", minutes_max=25, is_alone=True),
)


def present() -> list[Scenario]:
    """Those whose file is there, should a checkout have left one out."""
    return [scenario for scenario in SCENARIOS if scenario.file.exists()]


def lacking(scenarios: list[Scenario]) -> list[dict[str, object]]:
    """Programs that are not installed: `program`, its Debian `package`, and the `scenarios` that use it."""
    found: list[dict[str, object]] = []
    for program, package in PACKAGES.items():
        users = [scenario.name for scenario in scenarios if program in scenario.uses]
        if users and not (shutil.which(program) or shutil.which(program, path=SYSTEM_PATH)):
            found.append({"program": program, "package": package, "scenarios": users})
    return found


def main() -> None:
    found = present()
    told = [asdict(scenario) | {"question": scenario.question()} for scenario in found]
    print(json.dumps({"scenarios": told, "lacking": lacking(found)}))


if __name__ == "__main__":
    main()
