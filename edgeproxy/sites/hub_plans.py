"""The plans of a hub's resources: where their bytes come from, under which rules, and what they must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from edgeproxy.message import Headers, Response
from edgeproxy.policy.rules import Rules
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites import hub_answers
from edgeproxy.sites.hub_answers import Rewriting
from edgeproxy.sites.hub_facts import NOBODY, Caller, kind_of
from edgeproxy.sites.hub_names import File, Repo, file_target
from edgeproxy.sites.hub_questions import LearnLimits, LimitNotice
from edgeproxy.sites.hub_rules import HubRules
from edgeproxy.sites.hub_settings import Hub
from edgeproxy.sites.hub_tree import Entry
from edgeproxy.sites.site import Derived, Expected, Plan, Steady, Unacceptable
from edgeproxy.sites.urls import parse_url

_XET_NAMES = frozenset({"xetHash", "xetEnabled"})


@dataclass(frozen=True, slots=True)
class WithoutXet:
    """JSON without what would lead clients past this node. Bytes that hold no such word stay as they are."""

    id: str = "hub json 1"
    volatile: bool = False

    def derive(self, stored: StoredResponse, body: bytes, previous: StoredResponse | None) -> Derived:
        return Derived(stored.headers, without_xet(body))


def _quietly(rules: Rules, quiet: bool) -> Rules:
    """While the hub asks to wait only what is stored may answer."""
    return replace(rules, offline=True, unavailable_status=429) if quiet and not rules.offline else rules


def without_xet(data: bytes) -> bytes:
    """Raises Unacceptable for what is no JSON."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unacceptable("the hub's answer is no JSON") from error
    if not any(name.encode() in data for name in _XET_NAMES):
        return data
    return orjson.dumps(_stripped(found))


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _stripped(item) for name, item in value.items() if name not in _XET_NAMES}
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return value


def transform_json(status: int, headers: Headers, data: bytes) -> tuple[Headers, bytes]:
    """The same for an answer that is passed; what is no JSON is not touched."""
    if status != 200 or "json" not in headers.get("Content-Type").lower() or "Content-Encoding" in headers:
        return headers, data
    return headers, without_xet(data)


class HubPlans:
    """Makes plans for one hub. `learn` is told what answers say about its limits."""

    def __init__(self, hub: Hub, rules: HubRules, learn: LearnLimits) -> None:
        self._learn = learn
        self._hub = hub
        self._rules = rules

    def file(
        self,
        file: File,
        entry: Entry,
        caller: Caller,
        rewriting: Rewriting,
        *,
        quiet: bool = False,
        is_download: bool = False,
    ) -> Plan:
        """The bytes of a file of a commit. One file has one key, however it was written; what not everybody
        may read has one of its own, shared by all who may, and the same bytes."""
        is_raw = file.verb == "raw" and bool(entry.sha256)
        size = entry.pointer_size if is_raw else entry.size
        etag = entry.oid.hex() if is_raw else entry.etag
        is_sized = size > 0 or (size == 0 and not is_raw)
        expected = Expected(
            sha256="" if is_raw else entry.sha256.hex(),
            size=size if is_sized else None,
            git_sha1="" if entry.sha256 and not is_raw else entry.oid.hex(),
        )
        known = hub_answers.file_fields(entry, file.revision, etag=etag, size=size if is_sized else -1)
        return self._plan(
            file_target(file, file.revision),
            _quietly(self._rules.file, quiet),
            caller,
            rewriting,
            key_suffix="" if caller == NOBODY else " private",
            expected=expected,
            known=known,
            present=Steady(hub_answers.FilePresentation(known, file.path, is_download)),
            redirects=self._hub.redirects,
            finish_without_readers=True,
            tags=(file.repo.tag, f"commit:{file.revision}"),
            name=file.path,
            group=f"{self._hub.url}:{file.repo.kind}/{file.repo.id}@{file.revision}",
        )

    def by_digest(
        self, repo: Repo, target: str, sha256: str, size: int | None, caller: Caller, rewriting: Rewriting
    ) -> Plan:
        """Bytes that are named by their SHA-256, from wherever the hub has them."""
        return self._plan(
            target,
            self._rules.file,
            caller,
            rewriting,
            key_suffix="" if caller == NOBODY else " private",
            expected=Expected(sha256, size),
            present=Steady(hub_answers.FilePresentation(Headers(), "")),
            redirects=self._hub.redirects,
            finish_without_readers=True,
            tags=(repo.tag,),
            name=f"sha256:{sha256[:12]}",
        )

    def by_url(
        self, repo: Repo, url: str, sha256: str, size: int, caller: Caller, rewriting: Rewriting
    ) -> Plan | Response:
        """Bytes that are named by their SHA-256, at a signed URL of the hub's choice: only of hosts that its
        redirects may lead to. The URL authorises by itself: it stays out of the key."""
        parsed = parse_url(url)
        if parsed is None or not self._is_content_host(parsed[0].host):
            return hub_answers.error(
                502, "", "The hub keeps this where it may not.", is_api=False, head=False
            )
        plan = self.by_digest(repo, parsed[1], sha256, size, caller, rewriting)
        own = parsed[0] == self._hub.origin
        return replace(
            plan,
            origin=parsed[0],
            target=parsed[1],
            key_target=f"/lfs/{sha256}",
            fields={**plan.fields, **({} if own else {"Authorization": None})},
        )

    def _is_content_host(self, host: str) -> bool:
        return any(
            host.endswith(known) if known.startswith(".") else host == known for known in self._hub.redirects
        )

    def metadata(
        self, target: str, repo: Repo, caller: Caller, rewriting: Rewriting, *, limited: bool, strips: bool
    ) -> Plan:
        """JSON about a repository, as young as its branches; what one caller is told is kept apart."""
        return self._plan(
            target,
            _quietly(self._rules.info, limited),
            caller,
            rewriting,
            key_suffix=f" for={caller.id}" if caller.id else "",
            view=WithoutXet() if strips else None,
            transform=transform_json if strips else None,
            present=hub_answers.presentation(rewriting),
            redirects=frozenset({self._hub.origin.host}),
            tags=(repo.tag,),
            name=repo.id,
        )

    def passing(
        self, target: str, caller: Caller, rewriting: Rewriting, *, on_repo: bool, strips: bool = False
    ) -> Plan:
        """What is asked anew each time, in the words of whoever asks."""
        fields: Mapping[str, str | None] = {"Cookie": None, "Accept-Encoding": "identity"}
        if caller.authorization:
            fields = {**fields, "Authorization": caller.authorization}
        return Plan(
            origin=self._hub.origin,
            target=self._hub.prefix + target,
            rules=self._rules.passing,
            reach=self._hub.reach,
            key_suffix=f" passing for={caller.id}",
            fields=fields,
            present=hub_answers.presentation(rewriting),
            is_judged=True,
            keep_authorization=True,
            notice=LimitNotice(kind_of(target), caller.id, self._learn),
            relay=hub_answers.relay(rewriting, on_repo=on_repo),
            view=WithoutXet() if strips else None,
            transform=transform_json if strips else None,
        )

    def _plan(self, target: str, rules: Rules, caller: Caller, rewriting: Rewriting, **more: Any) -> Plan:
        return Plan(
            origin=self._hub.origin,
            target=self._hub.prefix + target,
            rules=rules,
            reach=self._hub.reach,
            fields={
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Cookie": None,
                "Authorization": caller.authorization or None,
            },
            relay=hub_answers.relay(rewriting, on_repo=True),
            notice=LimitNotice(kind_of(target), caller.id, self._learn),
            is_judged=True,  # a repository may be made private, and a signed URL expires
            **more,
        )
