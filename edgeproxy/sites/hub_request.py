"""One request to a hub, as all that answer it see it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeproxy.message import Pair, Request, Response
from edgeproxy.sites import hub_answers
from edgeproxy.sites.hub_answers import Rewriting
from edgeproxy.sites.hub_asking import Ask
from edgeproxy.sites.hub_facts import Caller


@dataclass(frozen=True, slots=True)
class HubRequest:
    """`own` is who asks; `ask.caller` the same, or the node's own account for who brings no token. `raw` and
    `query` are the target below the mount as it came."""

    ask: Ask
    own: Caller
    raw: str
    query: str
    rewriting: Rewriting

    @property
    def request(self) -> Request:
        return self.ask.request

    @property
    def method(self) -> str:
        return self.ask.request.method

    @property
    def is_head(self) -> bool:
        return self.ask.is_head

    @property
    def target(self) -> str:
        return f"{self.raw}?{self.query}" if self.query else self.raw

    def error(self, status: int, code: str, message: str, fields: Iterable[Pair] = ()) -> Response:
        return hub_answers.error(status, code, message, fields, is_api=self.ask.is_api, head=self.is_head)
