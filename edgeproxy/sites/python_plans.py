"""What all requests of a site to its index and to its files' hosts have in common: how they are
reached, which redirects are followed, and who gets to see which credentials."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgeproxy import config
from edgeproxy.message import Request
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.python_links import LinkRules
from edgeproxy.sites.site import Plan
from edgeproxy.upstream.upstream import Origin, Reach


class IndexPlans:
    """Makes plans. `authorization` is the field value of our own credentials for the index, if any."""

    def __init__(
        self,
        *,
        settings: config.Site,
        reach: Reach,
        origin: Origin,
        links: LinkRules,
        authorization: str | None,
        ca_file: str,
    ) -> None:
        self._origin = origin
        self._links = links
        self._passes = settings.credentials == "pass"
        self._fields: Mapping[str, str | None] = {
            "Cookie": None,
            **({} if authorization is None else {"Authorization": authorization}),
        }
        self._credential_key = secrets.token_bytes(32)
        reach = replace(reach, verify_tls=settings.verify_tls, ca_file=ca_file or None)
        configured = settings.private_addresses is not False
        self._reach = replace(reach, private_addresses=configured)
        self._learned_reach = replace(reach, private_addresses=links.private and configured)

    def reach_of(self, origin: Origin) -> Reach:
        """How a host of files, or the index itself, is reached."""
        return self._reach if self._links.is_known(origin) else self._learned_reach

    def of_index(
        self,
        request: Request,
        target: str,
        rules: Rules,
        *,
        fields: Mapping[str, str | None],
        variant: str = "",
        **more: Any,
    ) -> Plan:
        """A plan for the index itself."""
        hosts = {self._origin.host, *(origin.host for origin in self._links.configured)}
        return Plan(
            origin=self._origin,
            target=target,
            rules=rules,
            reach=self._reach,
            key_suffix=variant + self._credential(request),
            fields={**self._fields, **fields},
            redirects=frozenset(hosts),
            keep_authorization=self._passes,
            **more,
        )

    def of_file(self, request: Request, origin: Origin, target: str, rules: Rules, **more: Any) -> Plan:
        """A plan for a file. Credentials belong to the index's own origin and go nowhere else."""
        own = origin == self._origin
        known = self._links.is_known(origin)
        hosts = {origin.host, self._origin.host, *(other.host for other in self._links.configured)}
        return Plan(
            origin=origin,
            target=target,
            rules=rules,
            reach=self.reach_of(origin),
            key_suffix=self._credential(request),
            fields={
                **(self._fields if own else {"Cookie": None}),
                "Accept": "*/*",
                "Accept-Encoding": "identity",
            },
            redirects=frozenset(hosts) if known else frozenset({origin.host}),
            keep_authorization=self._passes and own,
            **more,
        )

    def _credential(self, request: Request) -> str:
        """With `pass`, what one client may see is kept apart from what others may."""
        if not self._passes:
            return ""
        given = request.headers.get("Authorization").encode("latin-1", "replace")
        digest = hmac.new(self._credential_key, given, hashlib.sha256).hexdigest()
        return f" for={digest[:32]}"
