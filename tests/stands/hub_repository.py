"""A repository of a hub: commits with real git identities, branches, tags, pull requests, and readers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from stands.hub_content import Content, as_content, git_object, pointer, xet_hash

PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
LARGE_SUFFIXES = (
    ".7z", ".arrow", ".bin", ".ckpt", ".gguf", ".gz", ".h5", ".joblib", ".msgpack", ".npy", ".npz", ".onnx",
    ".parquet", ".pb", ".pickle", ".pkl", ".pt", ".pth", ".safetensors", ".tar", ".tflite", ".wasm", ".xz",
    ".zip", ".zst",
)  # fmt: skip
LARGE_BYTES = 10 << 20  # beyond this git refuses a plain file
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_SUFFIXES)
FIRST_SECOND = 1_708_340_265  # of the first commit; each further one is a minute later

Given = Content | bytes | str | None


@dataclass(frozen=True)
class File:
    """A file at a commit. `large` files are in LFS and Xet, git holds a pointer to them."""

    path: str
    content: Content
    large: bool

    @property
    def size(self) -> int:
        return self.content.size

    @cached_property
    def git_data(self) -> bytes:
        return pointer(self.content) if self.large else self.content.read(0, self.size)

    @cached_property
    def oid(self) -> str:
        return git_object("blob", self.git_data)[0]

    @cached_property
    def xet(self) -> str:
        return xet_hash(self.content)

    @property
    def etag(self) -> str:
        """What the hub names the content by: SHA-256 of a large file, git's SHA-1 of others."""
        return self.content.sha256 if self.large else self.oid


@dataclass(frozen=True)
class Folder:
    """A folder at a commit, and what git holds of it."""

    path: str
    oid: str
    git_data: bytes


@dataclass(frozen=True)
class Commit:
    """A commit with every file there is at it."""

    files: Mapping[str, File]
    folders: Mapping[str, Folder]
    parent: Commit | None
    title: str
    message: str
    author: str
    second: int

    @cached_property
    def git_data(self) -> bytes:
        who = f"{self.author} <{self.author}@example.org> {self.second} +0000"
        lines = [f"tree {self.folders[''].oid}"]
        if self.parent is not None:
            lines.append(f"parent {self.parent.sha}")
        lines += [f"author {who}", f"committer {who}", "", self.title, "", self.message]
        return "\n".join(lines).rstrip("\n").encode() + b"\n"

    @cached_property
    def sha(self) -> str:
        return git_object("commit", self.git_data)[0]

    @property
    def date(self) -> str:
        return datetime.fromtimestamp(self.second, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every file by its path: what a client must have after a snapshot."""
        return {path: file.content.sha256 for path, file in self.files.items()}

    def lineage(self) -> list[Commit]:
        """This commit and those before it, the newest first."""
        found, commit = [], self
        while True:
            found.append(commit)
            if commit.parent is None:
                return found
            commit = commit.parent

    def last_change(self, path: str) -> Commit:
        """The newest commit in which `path` was not as it was before."""
        for commit in self.lineage():
            before = commit.parent
            if before is None or _oid(before, path) != _oid(commit, path):
                return commit
        return self

    def entries(self, folder: str, recursive: bool) -> list[File | Folder]:
        """What lies in a folder, folders before files, level by level."""
        start = f"{folder}/" if folder else ""
        both: list[File | Folder] = [*self.folders.values(), *self.files.values()]
        inside = [entry for entry in both if entry.path.startswith(start) and entry.path != folder]
        if not recursive:
            inside = [entry for entry in inside if "/" not in entry.path[len(start) :]]
        return sorted(inside, key=lambda e: (e.path.count("/"), isinstance(e, File), e.path))


def _oid(commit: Commit, path: str) -> str:
    entry = commit.files.get(path) or commit.folders.get(path)
    return entry.oid if entry else ""


def folders_of(files: Mapping[str, File]) -> dict[str, Folder]:
    """Every folder that holds files, the root as "", each with the git tree it is."""
    names = {""}
    for path in files:
        parts = path.split("/")[:-1]
        names |= {"/".join(parts[: n + 1]) for n in range(len(parts))}
    folders: dict[str, Folder] = {}
    for name in sorted(names, key=lambda n: -(n.count("/") + bool(n))):
        start = f"{name}/" if name else ""
        rows = [(p[len(start) :], b"100644", f.oid) for p, f in files.items() if p.startswith(start)]
        rows = [row for row in rows if "/" not in row[0]]
        inner = [(p[len(start) :], f.oid) for p, f in folders.items() if p.startswith(start) and p != name]
        rows += [(child, b"40000", oid) for child, oid in inner if "/" not in child]
        # git sorts a folder as if its name ended in "/".
        rows.sort(key=lambda row: row[0].encode() + (b"/" if row[1] == b"40000" else b""))
        data = b"".join(mode + b" " + n.encode() + b"\0" + bytes.fromhex(oid) for n, mode, oid in rows)
        folders[name] = Folder(name, git_object("tree", data)[0], data)
    return folders


@dataclass
class Repository:
    """`readers` are users who may read a private repository, or were granted a gated one.

    `refs` maps a whole name of git ("refs/heads/main", "refs/tags/v1", "refs/pr/1",
    "refs/convert/parquet") to its commit. Switch `private`, `gated` and `disabled` at any time."""

    kind: str
    id: str
    private: bool = False
    gated: str | bool = False  # False, "auto" or "manual"
    readers: set[str] = field(default_factory=set)
    disabled: bool = False
    card: dict[str, object] = field(default_factory=dict)
    refs: dict[str, Commit] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    @property
    def author(self) -> str:
        return self.id.partition("/")[0] if "/" in self.id else ""

    @property
    def web(self) -> str:
        """The path of the repository without the first slash."""
        return PREFIXES[self.kind] + self.id

    @property
    def api(self) -> str:
        return f"/api/{self.kind}s/{self.id}"

    @property
    def number(self) -> str:
        """The `_id` of the API: the same however the repository is called."""
        return hashlib.md5(f"{self.kind} {self.id}".encode()).hexdigest()[:24]

    @property
    def head(self) -> Commit:
        return self.refs["refs/heads/main"]

    def commit(
        self,
        files: Mapping[str, Given],
        title: str = "Upload files",
        message: str = "",
        branch: str = "main",
        large: Iterable[str] | None = None,
    ) -> Commit:
        """Add or replace files, or take away those that are None; `branch` moves, and starts at main if
        it is new. `large` names the files of LFS if suffix and size are not to tell; a whole ref may
        stand for a branch."""
        ref = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
        parent = self.refs.get(ref) or self.refs.get("refs/heads/main")
        kept = dict(parent.files) if parent else {}
        for path, given in files.items():
            if given is None:
                kept.pop(path, None)
                continue
            content = as_content(given)
            suffixed = path.endswith(LARGE_SUFFIXES) or content.size > LARGE_BYTES
            kept[path] = File(path, content, suffixed if large is None else path in set(large))
        second = FIRST_SECOND + 60 * len(self.commits)
        made = Commit(kept, folders_of(kept), parent, title, message, self.author or "hub", second)
        self.refs[ref] = self.commits[made.sha] = made
        return made

    def branch(self, name: str, at: Commit | None = None) -> None:
        """Make a branch, or move it."""
        self.refs[f"refs/heads/{name}"] = at or self.head

    def tag(self, name: str, at: Commit | None = None) -> None:
        """Make a tag, or move it."""
        self.refs[f"refs/tags/{name}"] = at or self.head

    def forget(self, commit: Commit) -> None:
        """Lose a commit, as after a force push; no ref may be at it any more."""
        del self.commits[commit.sha]

    def find(self, revision: str) -> Commit | None:
        """The commit of a branch, tag, ref, or commit of at least seven hex digits."""
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if ref in self.refs:
                return self.refs[ref]
        if len(revision) >= 7:
            return next((commit for sha, commit in self.commits.items() if sha.startswith(revision)), None)
        return None

    def admits(self, user: str) -> bool:
        """Whether a user, "" for anonymous, may read the files."""
        return (not self.private and not self.gated) or self.knows(user)

    def knows(self, user: str) -> bool:
        return bool(user) and (user in self.readers or user == self.author)
