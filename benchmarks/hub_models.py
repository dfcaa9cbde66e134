"""Models of a stand-in hub, made of their names alone: files, their digests, and what the hub says of them.

A model has a few small files that git holds, named by git's SHA-1 of them, and shards of weights in LFS,
named by their SHA-256. Its bytes are those of bodies.py, so that whoever gets them can check each one."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

from benchmarks import bodies

SMALL = {"config.json": 700, "generation_config.json": 200, "tokenizer.json": 48 << 10}
OWNER = "acme"
_PIECE = 512 << 10


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model; `large` ones are in LFS."""

    model: str
    path: str
    size: int
    large: bool

    @property
    def body(self) -> str:
        """The path by which bodies.py knows the bytes."""
        return bodies.path(self.size, f"{self.model}/{self.path}")

    @property
    def sha256(self) -> str:
        return _sha256(self.body, self.size)

    @property
    def oid(self) -> str:
        """Git's name of what it holds: of the bytes, or of the pointer to them."""
        data = self.pointer if self.large else bytes(bodies.piece(self.body, 0, self.size))
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git holds instead of a large file."""
        version = "version https://git-lfs.github.com/spec/v1"
        return f"{version}\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.oid

    @property
    def cdn_name(self) -> str:
        """The content delivery network has a name of its own for the bytes, which is no digest of them."""
        return hashlib.sha256(f"cdn {self.sha256}".encode()).hexdigest()


@functools.lru_cache(maxsize=4096)
def _sha256(body: str, size: int) -> str:
    digest = hashlib.sha256()
    for at in range(0, size, _PIECE):
        digest.update(bodies.piece(body, at, min(_PIECE, size - at)))
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Models:
    """`count` models, each of `shards` shards of `shard_bytes`."""

    count: int
    shards: int
    shard_bytes: int

    @property
    def names(self) -> list[str]:
        return [f"{OWNER}/model-{number}" for number in range(self.count)]

    def files(self, model: str) -> dict[str, File]:
        """Every file of a model by its path."""
        found = {path: File(model, path, size, False) for path, size in SMALL.items()}
        for number in range(1, self.shards + 1):
            path = f"model-{number:05}-of-{self.shards:05}.safetensors"
            found[path] = File(model, path, self.shard_bytes, True)
        return found

    def commit(self, model: str) -> str:
        """The one commit of a model."""
        return hashlib.sha1(f"commit {model} {self.shards} {self.shard_bytes}".encode()).hexdigest()

    def info(self, model: str, *, with_blobs: bool = False) -> dict[str, Any]:
        """The document of `GET /api/models/{id}/revision/{revision}`."""
        siblings: list[dict[str, Any]] = []
        for file in self.files(model).values():
            shown: dict[str, Any] = {"rfilename": file.path}
            if with_blobs:
                shown |= {"blobId": file.oid, "size": file.size}
                if file.large:
                    sizes = {"size": file.size, "pointerSize": len(file.pointer)}
                    shown["lfs"] = {"sha256": file.sha256, **sizes}
            siblings.append(shown)
        return {
            "_id": hashlib.md5(model.encode()).hexdigest()[:24],
            "id": model,
            "modelId": model,
            "author": OWNER,
            "sha": self.commit(model),
            "lastModified": "2024-01-01T00:00:00.000Z",
            "createdAt": "2024-01-01T00:00:00.000Z",
            "private": False,
            "gated": False,
            "disabled": False,
            "downloads": 1,
            "likes": 1,
            "tags": [],
            "cardData": {},
            "spaces": [],
            "siblings": siblings,
        }

    def tree(self, model: str) -> list[dict[str, Any]]:
        """The listing of all files, which have no folders."""
        return [entry(file) for file in self.files(model).values()]


def entry(file: File) -> dict[str, Any]:
    """A file as listings show it."""
    shown: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": file.path}
    if file.large:
        shown["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return shown
