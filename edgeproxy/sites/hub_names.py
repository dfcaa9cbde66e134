"""What a raw path of a hub names: repositories, revisions, files, and the question that is asked.

Paths are split while they are raw and decoded segment by segment, so that an encoded slash is never
mistaken for a plain one. What is malformed names nothing, and upstream is not asked for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

KINDS = ("models", "datasets", "spaces", "kernels")
PATH_BYTES_MAX = 4096
REVISION_CHARS_MAX = 255

_PREFIXES = frozenset(KINDS) - {"models"}
_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\\]")
_BAD_IN_REVISION = re.compile(r"[ ~^:?*\[]|@\{|\.\.|//|/\.|\.lock(?:/|$)")
_FILE_VERBS = ("resolve", "raw")
# What may follow the id of a repository in the API; anything else there is the second part of an id.
_VERBS_ALONE = frozenset(
    {"auth-check", "discussions", "duplicate", "likers", "paths-info", "refs", "settings"}
)
_VERBS = _VERBS_ALONE | {
    *("branch", "collections", "commit", "commits", "compare", "croissant", "hardware", "jwt"),
    *("leaderboard", "lfs-files", "like", "metadata", "notebook", "parquet", "preupload"),
    *("resource-group", "restart", "revision", "runtime", "safetensors-metadata", "scan"),
    *("secrets", "size", "sleeptime", "super-squash", "tag", "tags", "tree", "treesize"),
    *("user-access-request", "variables", "xet-read-token", "xet-write-token"),
}


class Repo(NamedTuple):
    """A repository: "models" and the like, and its id as it was asked for."""

    kind: str
    id: str

    @property
    def web(self) -> str:
        """Its place on the web, without slashes around: "gpt2", "datasets/owner/name"."""
        return self.id if self.kind == "models" else f"{self.kind}/{self.id}"

    @property
    def api(self) -> str:
        """Its place in the API: "/api/models/owner/name"."""
        return f"/api/{self.kind}/{self.id}"

    @property
    def tag(self) -> str:
        return f"repo:{self.kind}/{self.id}"


@dataclass(frozen=True, slots=True)
class File:
    """Bytes of a file; `verb` is "resolve" or, for the text git keeps in its place, "raw"."""

    repo: Repo
    verb: str
    revision: str
    path: str


@dataclass(frozen=True, slots=True)
class Info:
    """What is known of a repository, at a revision ("" if none was named)."""

    repo: Repo
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """The listing of a folder ("" for all)."""

    repo: Repo
    revision: str
    folder: str = ""


@dataclass(frozen=True, slots=True)
class PathsInfo:
    repo: Repo
    revision: str


@dataclass(frozen=True, slots=True)
class AuthCheck:
    repo: Repo


@dataclass(frozen=True, slots=True)
class XetToken:
    """`xet-read-token` of a revision."""

    repo: Repo
    revision: str


@dataclass(frozen=True, slots=True)
class RepoQuestion:
    """Any other question about a repository: `verb` and the raw rest of the path after it."""

    repo: Repo
    verb: str
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Git:
    """git over HTTP; `service` is the raw path below the repository."""

    repo: Repo
    service: str


@dataclass(frozen=True, slots=True)
class LfsBatch:
    repo: Repo


@dataclass(frozen=True, slots=True)
class ImageBlob:
    """A file by its digest, as clients that speak the OCI protocol ask."""

    repo: Repo
    sha256: str


@dataclass(frozen=True, slots=True)
class ImageManifest:
    repo: Repo
    tag: str


@dataclass(frozen=True, slots=True)
class OwnPath:
    """A path below `_cas/` or `_lfs/`: made by this node, never asked of a hub."""

    place: str
    rest: str


@dataclass(frozen=True, slots=True)
class HubQuestion:
    """Something of the hub that belongs to no repository; `path` starts with "/api/"."""

    path: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """No hub has this. `code` is the X-Error-Code that says what is wrong."""

    code: str
    message: str


_OfRepo = File | Info | Tree | PathsInfo | AuthCheck | XetToken | RepoQuestion | Git | LfsBatch
Named = _OfRepo | ImageBlob | ImageManifest | OwnPath | HubQuestion | Nothing

NO_REPO = Nothing("RepoNotFound", "Repository not found")
NO_REVISION = Nothing("RevisionNotFound", "Invalid rev id")
NO_ENTRY = Nothing("EntryNotFound", "Entry not found")


def is_commit(revision: str) -> bool:
    return _COMMIT.fullmatch(revision) is not None


def repo(kind: str, *parts: str) -> Repo | None:
    """The repository of one or two parts of an id; None if no repository can have it."""
    if kind not in KINDS or not 1 <= len(parts) <= 2:
        return None
    for part in parts:
        if _PART.fullmatch(part) is None or "--" in part or ".." in part or part.endswith(".git"):
            return None
    return Repo(kind, "/".join(parts))


def decoded(segment: str) -> str | None:
    """A percent-decoded segment; None for bad escapes, bytes that are no UTF-8, or control characters."""
    if _BAD_ESCAPE.search(segment):
        return None
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def revision(segment: str) -> str | None:
    """A decoded revision; None if git could have no such name."""
    text = decoded(segment)
    if text is None or not 0 < len(text) <= REVISION_CHARS_MAX or _BAD_IN_REVISION.search(text):
        return None
    return None if text.startswith(("/", ".", "-")) or text.endswith(("/", ".")) else text


def is_path(path: str) -> bool:
    """Whether a decoded path can be one of a file in a repository: relative, and never climbing."""
    if not path or len(path.encode("utf-8", "replace")) > PATH_BYTES_MAX or _CONTROL.search(path):
        return False
    return not any(part in ("", ".", "..") for part in path.split("/"))


def quoted(path: str) -> str:
    """The one way in which a path of a file is written in URLs."""
    return quote(path, safe="/")


def quoted_revision(text: str) -> str:
    return quote(text, safe="")


def file_target(file: File, commit: str) -> str:
    """Where a file of a commit is found below the hub's root."""
    return f"/{file.repo.web}/{file.verb}/{commit}/{quoted(file.path)}"


def renamed(raw: str, old: Repo, new: Repo) -> str:
    """The raw path that names in `new` what `raw` names in `old`."""
    parts = raw.split("/")
    if raw.startswith("/api/"):
        start = 4 if parts[2] == "resolve-cache" else 3
    else:
        start = 1 if old.kind == "models" else 2
    return "/".join((*parts[:start], new.id, *parts[start + old.id.count("/") + 1 :]))


def read(raw: str) -> Named:
    """What a raw path (no query, starting with "/") names. Never raises."""
    if not raw.isascii():
        return NO_REPO
    segments = raw.split("/")[1:]
    match segments:
        case ["api", "resolve-cache", kind, *rest]:
            return _resolve_cache(kind, rest)
        case ["api", kind, *rest] if kind in KINDS and any(rest):
            return _api(kind, rest)
        case ["api", *rest] if rest and all(_is_plain(segment) for segment in rest):
            return HubQuestion(raw)
        case ["v2", owner, name, *rest]:
            return _image(owner, name, rest)
        case [("_cas" | "_lfs") as place, *rest]:
            return OwnPath(place, "/".join(rest))
        case [kind, *rest] if kind in _PREFIXES:
            return _web(kind, rest)
        case _:
            return _web("models", segments)


def _is_plain(segment: str) -> bool:
    text = decoded(segment)
    return text is not None and text not in (".", "..") and "/" not in text


# -- files and git -----------------------------------------------------------------------------


def _web(kind: str, segments: list[str]) -> Named:
    for size in (2, 1):  # the longer id first: "resolve" may be the name of a repository
        rest = segments[size:]
        if len(segments) > size and rest[0] in _FILE_VERBS:
            found = _repo_of(kind, segments[:size])
            return NO_REPO if found is None else _file(found, rest[0], rest[1:])
        if len(segments) > size and rest[0] in ("info", "git-upload-pack", "git-receive-pack"):
            found = _repo_of(kind, segments[:size], git=True)
            return NO_REPO if found is None else _git(found, rest)
    return NO_REPO


def _repo_of(kind: str, segments: list[str], *, git: bool = False) -> Repo | None:
    parts = [decoded(segment) or "" for segment in segments]
    if git:
        parts[-1] = parts[-1].removesuffix(".git")
    return repo(kind, *parts)


def _file(found: Repo, verb: str, rest: list[str]) -> Named:
    if len(rest) >= 3 and rest[0] == "refs" and rest[1] in ("pr", "convert"):
        rest = ["%2F".join(rest[:3]), *rest[3:]]  # written by hand, without encoding its slashes
    named = revision(rest[0]) if rest else None
    if named is None:
        return NO_REVISION
    parts = [decoded(segment) for segment in rest[1:]]
    if any(part is None or "/" in part for part in parts):
        return NO_ENTRY
    path = "/".join(part or "" for part in parts)
    return File(found, verb, named, path) if is_path(path) else NO_ENTRY


def _git(found: Repo, rest: list[str]) -> Named:
    service = "/".join(rest)
    if service == "info/lfs/objects/batch":
        return LfsBatch(found)
    if service in ("info/refs", "git-upload-pack", "git-receive-pack"):
        return Git(found, service)
    if service.startswith("info/lfs/") and all(_is_plain(segment) for segment in rest):
        return Git(found, service)
    return NO_ENTRY


def _resolve_cache(kind: str, rest: list[str]) -> Named:
    """What the hub's own redirects for small files lead to."""
    for size in (2, 1):
        if len(rest) > size + 1 and _COMMIT.fullmatch(rest[size]):
            found = _repo_of(kind, rest[:size])
            return NO_REPO if found is None else _file(found, "resolve", rest[size:])
    return NO_REVISION


# -- the API -----------------------------------------------------------------------------------


def _api(kind: str, segments: list[str]) -> Named:
    size = _id_size(segments)
    found = _repo_of(kind, segments[:size])
    if found is None:
        return NO_REPO
    rest = segments[size:]
    if not rest or rest == [""]:
        return Info(found)
    return _question(found, rest[0], rest[1:])


def _id_size(segments: list[str]) -> int:
    """Of how many segments the id is: one if what follows is a verb and no verb follows that."""
    match segments:
        case [_] | [_, ""]:
            return 1
        case [_, verb]:
            return 1 if verb in _VERBS_ALONE else 2
        case [_, verb, following, *_]:
            return 1 if verb in _VERBS and following not in _VERBS else 2
        case _:
            return 0


def _question(found: Repo, verb: str, rest: list[str]) -> Named:
    if len(rest) >= 3 and rest[0] == "refs" and rest[1] in ("pr", "convert"):
        rest = ["%2F".join(rest[:3]), *rest[3:]]
    match verb, rest:
        case "auth-check", []:
            return AuthCheck(found)
        case ("revision" | "paths-info" | "xet-read-token") as about, [segment]:
            named = revision(segment)
            if named is None:
                return NO_REVISION
            match about:
                case "revision":
                    return Info(found, named)
                case "paths-info":
                    return PathsInfo(found, named)
                case _:
                    return XetToken(found, named)
        case "tree", [segment, *folder]:
            named = revision(segment)
            return NO_REVISION if named is None else _tree(found, named, folder)
        case _:
            if not all(_is_plain(segment) or _is_encoded_path(segment) for segment in (verb, *rest)):
                return NO_ENTRY
            return RepoQuestion(found, verb, "/".join(rest))


def _tree(found: Repo, named: str, folder: list[str]) -> Named:
    """The folder is one segment with its slashes encoded; plain slashes are understood as well."""
    parts = [decoded(segment) for segment in folder]
    if any(part is None for part in parts):
        return NO_ENTRY
    path = "/".join(part or "" for part in parts).strip("/")
    return Tree(found, named, path) if not path or is_path(path) else NO_ENTRY


def _is_encoded_path(segment: str) -> bool:
    text = decoded(segment)
    return text is not None and is_path(text)


def _image(owner: str, name: str, rest: list[str]) -> Named:
    found = _repo_of("models", [owner, name])
    if found is None:
        return NO_REPO
    match rest:
        case ["blobs", digest]:
            matched = _DIGEST.fullmatch(decoded(digest) or "")
            return ImageBlob(found, matched[1]) if matched else NO_ENTRY
        case ["manifests", tag] if revision(tag) is not None:
            return ImageManifest(found, tag)
        case _:
            return NO_ENTRY
