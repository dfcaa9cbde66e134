"""Wheels built here for a stand-in index: pure Python in form, of any size, and dependent on each other."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import random
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks import bodies

ROOT = "bench-root"
VERSION = "1.0"
_PIECE = 512 << 10
_WHEEL = b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True)
class Project:
    """One project with one wheel; `data_bytes` of data beside its code."""

    name: str
    data_bytes: int
    requires: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        return self.name.replace("-", "_")

    @property
    def filename(self) -> str:
        return f"{self.package}-{VERSION}-py3-none-any.whl"

    @property
    def data_path(self) -> str:
        """Where the data lies once it is installed."""
        return f"{self.package}/data.bin"

    @property
    def data(self) -> bytes:
        body = bodies.path(self.data_bytes, f"wheel/{self.name}")
        starts = range(0, self.data_bytes, _PIECE)
        return b"".join(bodies.piece(body, at, min(_PIECE, self.data_bytes - at)) for at in starts)

    @property
    def metadata(self) -> bytes:
        """What its METADATA holds, which an index gives beside the wheel too (PEP 658)."""
        lines = ["Metadata-Version: 2.1", f"Name: {self.name}", f"Version: {VERSION}"]
        lines += [f"Requires-Dist: {name}" for name in self.requires]
        return ("\n".join(lines) + "\n").encode()

    @cached_property
    def wheel(self) -> bytes:
        info = f"{self.package}-{VERSION}.dist-info"
        files = {
            f"{self.package}/__init__.py": f'version = "{VERSION}"\n'.encode(),
            self.data_path: self.data,
            f"{info}/METADATA": self.metadata,
            f"{info}/WHEEL": _WHEEL,
        }
        record = "".join(_record_line(path, content) for path, content in files.items())
        files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:  # stored, so that its size is that of the data
            for path, content in files.items():
                archive.writestr(zipfile.ZipInfo(path), content)
        return buffer.getvalue()

    @cached_property
    def sha256(self) -> str:
        """Of the wheel."""
        return hashlib.sha256(self.wheel).hexdigest()


def _record_line(path: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


def projects(count: int, least_bytes: int, most_bytes: int, seed: int = 1) -> list[Project]:
    """`count` projects of sizes in between, in three layers: what is asked for (ROOT) requires the first
    quarter, each of that some of the next, and so on, so that an installer learns of them bit by bit."""
    dice = random.Random(f"wheels/{seed}")
    names = [f"bench-lib-{number:02}" for number in range(count)]
    sizes = [dice.randint(least_bytes, most_bytes) for _ in names]
    first, second = max(1, count // 4), max(2, count // 2)
    layers = [names[:first], names[first:second], names[second:]]
    requires: dict[str, list[str]] = {name: [] for name in names}
    for above, below in itertools.pairwise(layers):
        for number, name in enumerate(below):
            requires[above[number % len(above)]].append(name)
            other = dice.choice(above)
            if name not in requires[other]:
                requires[other].append(name)
    found = [Project(name, size, tuple(requires[name])) for name, size in zip(names, sizes, strict=True)]
    return [Project(ROOT, 1000, tuple(layers[0])), *found]


def reached(known: Sequence[Project], name: str = ROOT) -> set[str]:
    """All that an installer of `name` has to install."""
    by_name = {project.name: project for project in known}
    seen: set[str] = set()
    left = [name]
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            left += by_name[one].requires
    return seen
