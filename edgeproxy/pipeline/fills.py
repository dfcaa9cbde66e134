"""The fills that run, by cache key, and what recent ones have taught: which keys are not storable,
which have just failed. Bounded tables; the one place where fills are started."""

from __future__ import annotations

from collections.abc import Callable

from cachetools import LRUCache

from edgeproxy.errors import UpstreamError
from edgeproxy.message import Headers, Request
from edgeproxy.pipeline.exchange import Answer
from edgeproxy.pipeline.fill import CONDITIONS, Adopt, Fill
from edgeproxy.pipeline.fill_end import FillEnd
from edgeproxy.pipeline.fill_head import Failed, Unshared
from edgeproxy.pipeline.fill_parts import Examiner, FillParts
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.sites.site import Plan

KEYS_REMEMBERED_MAX = 10_000


class Fills:
    """Owns every running fill of the node."""

    def __init__(self, parts: FillParts) -> None:
        self.parts = parts
        self._running: dict[str, Fill] = {}
        self._all: set[Fill] = set()
        self._background = 0
        self._uncacheable: LRUCache[str, float] = LRUCache(KEYS_REMEMBERED_MAX)
        self._failed: LRUCache[str, tuple[float, UpstreamError]] = LRUCache(KEYS_REMEMBERED_MAX)

    def __len__(self) -> int:
        return len(self._all)

    def joinable(self, key: str) -> Fill | None:
        """The fill that a request for `key` may wait on, if there is one."""
        fill = self._running.get(key)
        if fill is None or fill.end is not FillEnd.RUNNING or fill.sequence != self.parts.store.sequence:
            return None
        if fill.waiters >= self.parts.settings.waiters:
            return None
        if fill.body is not None and not fill.body.is_joinable:
            return None
        return fill

    def start(
        self,
        plan: Plan,
        site: str,
        request: Request,
        headers: Headers,
        stored: StoredResponse | None,
        *,
        shared: bool,
        examiner: Examiner | None = None,
        on_missing: Callable[[], None] | None = None,
        adopt: Adopt | None = None,
        first: Answer | None = None,
    ) -> Fill:
        """Begin a fill, with an exchange already begun if there is one. A shared one is what later
        requests for the key join."""
        fill = Fill(
            plan=plan,
            site=site,
            request=request,
            headers=headers,
            stored=stored,
            parts=self.parts,
            shared=shared,
            sequence=self.parts.store.sequence,
            examiner=examiner,
            on_missing=on_missing,
            adopt=adopt,
            first=first,
            replace_wrong=self._replace_wrong,
        )
        if shared:
            self._running[plan.key] = fill
        self._all.add(fill)
        task = self.parts.tasks.start(fill.run(), f"fill {plan.key[:200]}")
        task.add_done_callback(lambda _: self._ended(fill))
        fill.head.add_done_callback(lambda _: self._learn(fill))
        return fill

    def start_background(self, begin: Callable[[], Fill]) -> Fill | None:
        """Begin a fill nobody waits for, if there are not too many of them already."""
        if self._background >= self.parts.settings.background:
            return None
        fill = begin()
        fill.owner_waits = False
        fill.wanted = True
        self._background += 1
        fill.head.add_done_callback(lambda _: self._background_decided())
        return fill

    def _replace_wrong(self, wrong: Fill) -> None:
        """Fetch again what came wrong, from somebody else, before its clients ask again."""
        self.start_background(
            lambda: self.start(
                wrong.plan,
                wrong.site,
                wrong.request,
                wrong.headers.without(CONDITIONS),
                None,
                shared=wrong.shared,
                examiner=wrong.examiner,
                on_missing=wrong.on_missing,
                adopt=wrong.adopt,
            )
        )

    def _background_decided(self) -> None:
        self._background -= 1

    def _ended(self, fill: Fill) -> None:
        self._all.discard(fill)
        if self._running.get(fill.plan.key) is fill:
            del self._running[fill.plan.key]

    def _learn(self, fill: Fill) -> None:
        now, rules, key = self.parts.clock(), fill.plan.rules, fill.plan.key
        match fill.head.result():
            case Unshared() if fill.shared and rules.uncacheable_memory > 0:
                self._uncacheable[key] = now + rules.uncacheable_memory
            case Failed(error) if rules.error_memory > 0:
                self._failed[key] = (now + rules.error_memory, error)
            case _:
                self._uncacheable.pop(key, None)

    def supersede(self, key: str) -> None:
        """What is on its way for `key` is outdated: nobody joins it any more."""
        self._running.pop(key, None)

    def is_uncacheable(self, key: str) -> bool:
        """Whether an answer for `key` was found not storable a moment ago."""
        until = self._uncacheable.get(key)
        return until is not None and self.parts.clock() < until

    def recent_failure(self, key: str) -> UpstreamError | None:
        """The error of a fill of `key` that failed a moment ago, while it is remembered."""
        failed = self._failed.get(key)
        return failed[1] if failed is not None and self.parts.clock() < failed[0] else None
