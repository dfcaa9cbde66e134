"""Small real wheels and source distributions, built here, pure Python."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

# A build backend inside the source distribution: nothing else is needed to build it.
_BACKEND = """
import base64, hashlib, zipfile
NAME, VERSION = {name!r}, {version!r}
def build_wheel(directory, settings=None, metadata=None):
    info = f"{{NAME}}-{{VERSION}}.dist-info"
    files = {{
        f"{{NAME}}/__init__.py": f"version = {{VERSION!r}}\\n",
        f"{{info}}/METADATA": f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n",
        f"{{info}}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nTag: py3-none-any\\n",
    }}
    record = ""
    filename = f"{{NAME}}-{{VERSION}}-py3-none-any.whl"
    with zipfile.ZipFile(f"{{directory}}/{{filename}}", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{{path}},sha256={{digest}},{{len(text)}}\\n"
        archive.writestr(f"{{info}}/RECORD", record + f"{{info}}/RECORD,,\\n")
    return filename
"""


@dataclass(frozen=True)
class Distribution:
    """One file of an index. `metadata` is what its sidecar holds, None where there is no sidecar."""

    project: str
    version: str
    filename: str
    content: bytes
    metadata: bytes | None = None
    requires_python: str = ""
    yanked: str | bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()

    @cached_property
    def path(self) -> str:
        """The path on the files host: immutable, because it holds a digest of the content."""
        digest = hashlib.blake2b(self.content, digest_size=32).hexdigest()
        return f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{self.filename}"


def _record_line(path: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


def _metadata(project: str, version: str, requires: Sequence[str], requires_python: str) -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {project}", f"Version: {version}"]
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    lines.extend(f"Requires-Dist: {requirement}" for requirement in requires)
    return ("\n".join(lines) + "\n").encode()


def wheel(
    project: str,
    version: str,
    requires: Sequence[str] = (),
    requires_python: str = "",
    yanked: str | bool = False,
    data_bytes: int = 0,
) -> Distribution:
    """A wheel with one package of the project's name; `data_bytes` of noise beside its code."""
    package = project.replace("-", "_").replace(".", "_").lower()
    info = f"{package}-{version}.dist-info"
    metadata = _metadata(project, version, requires, requires_python)
    files = {
        f"{package}/__init__.py": f"version = {version!r}\n".encode(),
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if data_bytes:
        files[f"{package}/noise.bin"] = random.Random(project).randbytes(data_bytes)
    record = "".join(_record_line(path, content) for path, content in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    filename = f"{package}-{version}-py3-none-any.whl"
    return Distribution(project, version, filename, buffer.getvalue(), metadata, requires_python, yanked)


def sdist(project: str, version: str) -> Distribution:
    """A source distribution that builds without network: its backend is inside it."""
    pyproject = (
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{project}"\nversion = "{version}"\n'
    )
    files = {
        "pyproject.toml": pyproject,
        "backend.py": _BACKEND.format(name=project, version=version),
        "PKG-INFO": _metadata(project, version, (), "").decode(),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{project}-{version}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return Distribution(project, version, f"{project}-{version}.tar.gz", buffer.getvalue())


@cache
def _big(data_bytes: int) -> Distribution:
    """Nobody changes a distribution, so that one of so many bytes is enough for a whole run."""
    return wheel("big", "1.0", data_bytes=data_bytes)


def catalogue(big_bytes: int = 0) -> list[Distribution]:
    """Projects that depend on each other, and `big` with `big_bytes` of noise if there are any."""
    files = [
        wheel("alpha", "1.0"),
        wheel("alpha", "1.1"),
        wheel("alpha", "2.0", yanked="broken on purpose"),
        sdist("alpha", "1.0"),
        wheel("beta", "1.0", requires=["alpha>=1.0", "gamma"]),
        wheel("gamma", "0.1"),
        wheel("gamma", "0.2"),
        wheel("gamma", "0.3", requires_python=">=4"),
        sdist("delta", "1.0"),
        wheel("Odd.Name_Project", "3.0", requires=["beta", "delta; extra == 'source'"]),
    ]
    files.extend(wheel(f"leaf{n}", "1.0", requires=["gamma"]) for n in range(8))
    files.append(wheel("tree", "1.0", requires=[f"leaf{n}" for n in range(8)] + ["odd-name-project"]))
    if big_bytes:
        files.append(_big(big_bytes))
    return files
