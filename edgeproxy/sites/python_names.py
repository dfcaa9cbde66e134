"""Names of Python projects and of their files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import quote, unquote

_RUN = re.compile(r"[-_.]+")
_VALID = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_RAW = re.compile(r"[A-Za-z0-9._-]{1,214}")
_FILE_NAME = re.compile(r"[A-Za-z0-9._+!-]{1,255}")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")
_ARCHIVE = re.compile(r"\.(?:tar\.(?:gz|bz2|xz|Z|lzma)|tgz|tbz|zip|whl|egg|exe|msi|rpm|deb|dmg)$")


def normalise(name: str) -> str:
    return _RUN.sub("-", name).lower()


def project(raw: str) -> str | None:
    """The normalised name of a project as it stands in a path; None if it can be no name."""
    if _RAW.fullmatch(raw) is None:
        return None
    name = normalise(raw)
    return name if _VALID.fullmatch(name) else None


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def pattern(text: str) -> str:
    """A pattern of the configuration, normalised like the names it is compared with."""
    return normalise(text)


def canonical_path(path: str) -> str | None:
    """A raw path of a file in the one spelling files are looked up by (clients quote "+" as they like),
    or None if its form is not one a file of an index can have."""
    if _PATH.fullmatch(path) is None or len(path) > 4096:
        return None
    plain = unquote(path, errors="surrogateescape")
    segments = plain.split("/")
    if "." in segments or ".." in segments or len(segments) != path.count("/") + 1:
        return None
    if _FILE_NAME.fullmatch(segments[-1]) is None or "\\" in plain or "\0" in plain:
        return None
    return path if "%" not in path and "+" not in path else quote(plain, errors="surrogateescape")


def file_name(path: str) -> str:
    return unquote(path.rpartition("/")[2])


def project_of_file(name: str) -> str | None:
    """The project a file name seems to belong to: exact for wheels, a good guess for the rest."""
    if name.endswith((".whl", ".egg")):
        return project(name.partition("-")[0])
    stem = _ARCHIVE.sub("", name)
    if stem == name:
        return None
    at = next((m.start() for m in re.finditer(r"-(?=v?[0-9])", stem)), stem.rfind("-"))
    # A project such as "a-2b" has a digit after a dash too: the last such dash starts the version
    # unless what follows it is part of one, as in "a-1.0-2".
    last = stem.rfind("-")
    if at != last and re.match(r"v?[0-9]+\.", stem[last + 1 :]):
        at = last
    return project(stem[:at]) if at > 0 else None


def is_exact(name: str) -> bool:
    """Whether `project_of_file` cannot be wrong about a file of this name."""
    return name.endswith((".whl", ".egg")) or name.count("-") == 1
