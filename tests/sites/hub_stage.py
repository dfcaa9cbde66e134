"""A hub of answers by heart, and a pipeline that does nothing but ask it what a site wants to know."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeproxy import config
from edgeproxy.message import Headers, HeadOnly, Request, Response
from edgeproxy.sites import huggingface
from edgeproxy.sites.site import ContentWanted, Inquiry, Plan, Planned, Seen, Site, SiteContext, Unacceptable

COMMIT = "a" * 40
OTHER = "b" * 40
SHA256 = "c" * 64
SHA1 = "d" * 40
ALICE = "Bearer hf_alice"
BOB = "Bearer hf_bob"

BARE = (401, {"X-Error-Message": "Invalid username or password."}, b"")
GATED = (403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."}, b"")
NOT_YOURS = (404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b"")
TREE: list[dict[str, Any]] = [
    {"type": "file", "oid": SHA1, "size": 5, "path": "config.json"},
    {"type": "directory", "oid": SHA1, "size": 0, "path": "onnx"},
    {"type": "file", "oid": SHA1, "size": 7, "path": "onnx/a b.json"},
    {
        "type": "file",
        "oid": SHA1,
        "size": 1000,
        "path": "model.safetensors",
        "lfs": {"oid": SHA256, "size": 1000, "pointerSize": 134},
        "xetHash": "e" * 64,
    },
]

Answer = tuple[int, Mapping[str, str], bytes]


def info(id_: str = "acme/tiny", sha: str = COMMIT, **more: Any) -> Answer:
    told = {"id": id_, "sha": sha, "private": False, "gated": False, **more}
    return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()


def tree(entries: Any = None, link: str = "") -> Answer:
    fields = {"Content-Type": "application/json", **({"Link": link} if link else {})}
    return 200, fields, json.dumps(TREE if entries is None else entries).encode()


@dataclass
class Stage:
    """`answers` by (method, target), or by (method, target, Authorization) where it matters. While the hub
    `is_down` the store answers what is in `stored`, stale."""

    site: Site
    answers: dict[tuple[str, ...], Answer]
    now: list[float]
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    is_down: bool = False
    stored: dict[str, Answer] = field(default_factory=dict)

    def ask(self, path: str, token: str = "", method: str = "GET", **more: Any) -> Planned:
        """What the site says in the end; more than 20 questions are a failure."""
        fields = [("Authorization", token)] if token else []
        fields += [(name.replace("_", "-"), value) for name, value in more.pop("fields", {}).items()]
        content = more.pop("content", None)
        request = Request(method, f"/hf{path}", Headers(fields), authority="edge.example:8080", **more)
        for _ in range(20):
            planned = self.site.plan(request, path)
            match planned:
                case Inquiry():
                    self._learn(planned)
                case ContentWanted():
                    assert content is not None
                    request = dataclasses.replace(request, content=content)
                case _:
                    return planned
        raise AssertionError(f"the site asks for ever: {self.asked[-3:]}")

    def _learn(self, inquiry: Inquiry) -> None:
        seen = self._see(inquiry)
        try:
            learned = inquiry.read(seen)
        except Unacceptable as error:
            learned = inquiry.read(Seen(0, error=str(error), at=seen.at))
        self.site.learn(learned)

    def _see(self, inquiry: Inquiry) -> Seen:
        plan, now = inquiry.plan, self.now[0]
        token = plan.fields.get("Authorization") or ""
        assert plan.origin.host == "hub.example"
        assert "hf_" not in plan.key
        assert "hf_" not in inquiry.id
        if plan.rules.offline or self.is_down:
            found = self.stored.get(plan.key)
            if found is None:
                return Seen(0, error="offline", at=now)
            return Seen(found[0], Headers(found[1].items()), found[2], is_stale=True, at=now)
        self.asked.append((inquiry.method, plan.target, token))
        found = self.answers.get((inquiry.method, plan.target, token))
        if found is None:
            found = self.answers.get((inquiry.method, plan.target), NOT_YOURS if token else BARE)
        if plan.notice is not None:
            plan.notice(found[0], Headers(found[1].items()))
        if found[0] >= 500:
            return Seen(0, error=f"the upstream answered {found[0]}", at=now)
        if found[0] == 200 and plan.rules.ttl:
            self.stored[plan.key] = found
        return Seen(found[0], Headers(found[1].items()), found[2], at=now)

    def plan(self, path: str, token: str = "", **more: Any) -> Plan:
        planned = self.ask(path, token, **more)
        assert isinstance(planned, Plan), planned
        return planned

    def response(self, path: str, token: str = "", method: str = "GET", **more: Any) -> Response:
        planned = self.ask(path, token, method, **more)
        assert isinstance(planned, Response), planned
        return planned

    def head(self, path: str, token: str = "") -> tuple[int, Headers, int | None]:
        """Status, fields and announced length of a HEAD."""
        answer = self.response(path, token, "HEAD")
        return answer.status, answer.headers, answer.body.length

    def restarted(self, context: SiteContext, **options: Any) -> Stage:
        """The same store under a new process."""
        return dataclasses.replace(stage(context, self.now, self.answers, **options), stored=self.stored)


def stage(
    context: SiteContext, now: list[float], answers: Mapping[tuple[str, ...], Answer], **options: Any
) -> Stage:
    settings = config.Site(
        name="hf", kind="huggingface", mount="/hf", endpoint="https://hub.example", **options
    )
    clocked = dataclasses.replace(context, clock=lambda: now[0])
    return Stage(huggingface.build(settings, clocked), dict(answers), now)


def public(name: str = "acme/tiny", **more: Any) -> dict[tuple[str, ...], Answer]:
    """The answers of a hub about a repository everybody may read."""
    api = f"/api/models/{name}"
    return {
        ("GET", api): info(name, **more),
        ("GET", f"{api}/revision/main"): info(name, **more),
        ("GET", f"{api}/tree/{COMMIT}?recursive=true"): tree(),
    }


def body(answer: Response) -> bytes:
    assert not isinstance(answer.body, HeadOnly)
    data: bytes = answer.body.data  # type: ignore[attr-defined]
    return data
