"""Who works on which partial body. A fill has it for long, and a second fill does not wait for it; sweep,
reclaim and eviction have it for a moment, and a fill waits for that."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

WAIT_SECONDS = 5.0


class PartialClaims:
    """Used in any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._claimed: dict[str, bool] = {}  # true if only for a moment

    def claim(self, body: str) -> bool:
        """Become the owner; false at once if there is one."""
        with self._changed:
            if body in self._claimed:
                return False
            self._claimed[body] = False
            return True

    def claim_soon(self, body: str) -> bool:
        """`claim`, behind whoever has it for a moment. Blocks."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while self._claimed.get(body, False):
                if not self._changed.wait(deadline - time.monotonic()):
                    return False
            if body in self._claimed:
                return False
            self._claimed[body] = False
            return True

    def release(self, body: str) -> None:
        with self._changed:
            self._claimed.pop(body, None)
            self._changed.notify_all()

    @contextlib.contextmanager
    def briefly(self, body: str) -> Iterator[bool]:
        """Own it inside the block if nobody else does; tells whether."""
        with self._changed:
            is_mine = body not in self._claimed
            if is_mine:
                self._claimed[body] = True
        try:
            yield is_mine
        finally:
            if is_mine:
                self.release(body)
