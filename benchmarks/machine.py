"""What was measured on: the machine, the cores used, and the version of everything under test."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("uvloop", "aiofastnet", "pycurl", "aiohttp")
_PROGRAMS = {
    "nginx": ["nginx", "-v"],
    "haproxy": ["haproxy", "-v"],
    "varnish": ["varnishd", "-V"],
    "squid": ["squid", "-v"],
    "trafficserver": ["traffic_server", "-V"],
    "wrk": ["wrk", "-v"],
    "h2load": ["h2load", "--version"],
    "gdnsd": ["gdnsd", "version"],
    "dnsperf": ["dnsperf", "-h"],
}
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def server_core() -> int | None:
    """The core every server under test runs on."""
    return _CORES[0] if _CORES else None


def load_core() -> int | None:
    """The core of the load and of the origin; the servers' own where there is no second."""
    return _CORES[1 % len(_CORES)] if _CORES else None


def pin(core: int | None) -> None:
    """Keep this process, and what it starts, on `core`. Does nothing where the system cannot."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def describe() -> dict[str, object]:
    """Facts for a report: names of things and numbers, nothing that tells whose machine it is."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "server_core": server_core(),
        "load_core": load_core(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    revision = _output(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])
    found["edgeproxy"] = f"{_package('edgeproxy')} ({revision or 'no revision'})"
    found |= {name: version for name in _PACKAGES if (version := _package(name))}
    for name, command in _PROGRAMS.items():
        if match := re.search(
            r"(?:nginx/|varnish-|Traffic Server |[Vv]ersion |debian/)([0-9][^ \n)]*)"
            r"|(?:wrk |nghttp2/)([0-9][^ \n]*)",
            _output(command),
        ):
            found[name] = match[1] or match[2]
    return found


def _package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip()


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.machine()
