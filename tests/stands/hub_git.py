"""git and git-lfs at a stand-in hub: a bare repository made of the real objects, and the LFS batch."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from stands.hub_answers import Refused, Reply, error, json_reply
from stands.hub_content import Held, git_object
from stands.hub_repository import File, Repository
from stands.wire import Exchange

if TYPE_CHECKING:
    from stands.hub import Hub

LFS_TYPE = "application/vnd.git-lfs+json"


class Git:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._root: Path | None = None

    def remove(self) -> None:
        if self._root is not None:
            shutil.rmtree(self._root)
            self._root = None

    async def answer(self, exchange: Exchange, kind: str, name: str, rest: str) -> Reply:
        try:
            repository = self._hub.find(kind, name.removesuffix(".git"), exchange, False)
            self._hub.require_content(repository, exchange, False)
        except Refused as refused:
            # git only sends user and token to a realm it can answer to.
            others = [(n, v) for n, v in refused.reply.fields if n != "WWW-Authenticate"]
            if refused.reply.status == 401:
                refused.reply.fields = [
                    *others,
                    ("WWW-Authenticate", 'Basic realm="Authentication required"'),
                ]
            raise
        if rest == "info/lfs/objects/batch" and exchange.method == "POST":
            return self._batch(exchange, repository)
        if rest == "info/refs":
            service = exchange.target.partition("service=")[2]
            if service == "git-upload-pack":
                return await self._refs(exchange, repository)
        elif rest == "git-upload-pack" and exchange.method == "POST":
            return await self._pack(exchange, repository)
        raise error(403, "Only reading is offered here.", is_api=False)

    # git itself.

    def _bare(self, repository: Repository) -> Path:
        """A bare repository that holds what this one holds now."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="stand-in-git-"))
        place = self._root / f"{repository.kind}-{repository.number}.git"
        for commit in repository.commits.values():
            data = [("commit", commit.git_data)]
            data += [("tree", folder.git_data) for folder in commit.folders.values()]
            data += [("blob", file.git_data) for file in commit.files.values()]
            for kind, each in data:
                sha, framed = git_object(kind, each)
                path = place / "objects" / sha[:2] / sha[2:]
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(zlib.compress(framed, 1))
        shutil.rmtree(place / "refs", ignore_errors=True)
        for ref, commit in repository.refs.items():
            path = place / ref
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{commit.sha}\n")
        (place / "HEAD").write_text("ref: refs/heads/main\n")
        (place / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        return place

    async def _run(self, exchange: Exchange, repository: Repository, *arguments: str) -> bytes:
        protocol = {"GIT_PROTOCOL": exchange.get("git-protocol")} if exchange.get("git-protocol") else {}
        safe = ["-c", "safe.directory=*", "-c", "uploadpack.allowFilter=true"]
        process = await asyncio.create_subprocess_exec(
            "git", *safe, "upload-pack", "--stateless-rpc", *arguments, str(self._bare(repository)),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={"PATH": _path(), **protocol},
        )  # fmt: skip
        body = gzip.decompress(exchange.body) if exchange.get("content-encoding") == "gzip" else exchange.body
        output, _ = await process.communicate(body)
        return output

    async def _refs(self, exchange: Exchange, repository: Repository) -> Reply:
        listed = await self._run(exchange, repository, "--advertise-refs")
        fields = [
            ("Content-Type", "application/x-git-upload-pack-advertisement"),
            ("Cache-Control", "no-cache"),
        ]
        return Reply(200, fields, Held(b"001e# service=git-upload-pack\n0000" + listed))

    async def _pack(self, exchange: Exchange, repository: Repository) -> Reply:
        packed = await self._run(exchange, repository)
        fields = [("Content-Type", "application/x-git-upload-pack-result"), ("Cache-Control", "no-cache")]
        return Reply(200, fields, Held(packed))

    # LFS.

    def _batch(self, exchange: Exchange, repository: Repository) -> Reply:
        document = json.loads(exchange.body)
        if document.get("operation") != "download":
            raise error(403, "Only reading is offered here.")
        known: dict[str, File] = {}
        for commit in repository.commits.values():
            known |= {file.content.sha256: file for file in commit.files.values() if file.large}
        user = self._hub.user(exchange, True)
        objects = []
        for wanted in document["objects"]:
            shown = {"oid": wanted["oid"], "size": wanted["size"]}
            file = known.get(wanted["oid"])
            if file is None:
                objects.append({**shown, "error": {"code": 404, "message": "Object does not exist"}})
                continue
            href = self._hub.cdn.sign(repository, file, user)
            download = {"href": href, "header": {}, "expires_in": self._hub.faults.signed_seconds}
            objects.append({**shown, "authenticated": True, "actions": {"download": download}})
        reply = json_reply({"transfer": "basic", "objects": objects})
        reply.fields = [("Content-Type", LFS_TYPE)]
        reply.etag = ""
        return reply


def _path() -> str:
    git = shutil.which("git")
    return str(Path(git).parent) if git else ""
