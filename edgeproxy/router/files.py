"""Which requests are for files, as far as their path tells: only these may be redirected.

Pages of an index never are: their links are relative to where the page came from, and would take the client
away from here. Answers of an API are small, and their clients bear tokens, which they do not take along."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgeproxy.router.crowding import crowded_out

IsFile = Callable[[str], bool]
TARGETS_MAX = 16_384  # that are remembered ...
TARGET_LENGTH = 512  # ... and are not longer


def _of_index(path: str) -> bool:
    return path.startswith("/f/")


def _of_hub(path: str) -> bool:
    return "/resolve/" in path and not path.startswith("/api/")


def _of_any(path: str) -> bool:
    return not path.endswith("/")


_BY_KIND: dict[str, IsFile] = {"python-index": _of_index, "huggingface": _of_hub}


@dataclass(frozen=True, slots=True)
class FilePlace:
    """Where a site answers: `mount` without a slash at its end, `hosts` (none: for any)."""

    mount: str
    hosts: frozenset[str]
    is_file: IsFile


class Files:
    """The sites' own order: hosts first, then the longest mount."""

    def __init__(self, sites: Iterable[tuple[str, str, Iterable[str]]]) -> None:
        """`sites`: kind, mount and hosts of each."""
        places = [
            FilePlace(mount.rstrip("/"), frozenset(hosts), _BY_KIND.get(kind, _of_any))
            for kind, mount, hosts in sites
        ]
        self._places = sorted(places, key=lambda place: (not place.hosts, -len(place.mount)))
        self._known: dict[tuple[str, str], bool] = {}

    def is_file(self, target: str, authority: str = "") -> bool:
        """Whether a raw target may name a file."""
        known = self._known.get((target, authority))
        if known is None:
            known = self._is_file(target, authority)
            if len(target) <= TARGET_LENGTH:
                self._known[target, authority] = known
                crowded_out(self._known, TARGETS_MAX)
        return known

    def _is_file(self, target: str, authority: str) -> bool:
        path = target.partition("?")[0]
        for place in self._places:
            if place.hosts and authority not in place.hosts and _without_port(authority) not in place.hosts:
                continue
            if path.startswith(f"{place.mount}/"):
                return place.is_file(path[len(place.mount) :])
        return False


def _without_port(host: str) -> str:
    name, mark, port = host.rpartition(":")
    return name if mark and port.isdecimal() else host
