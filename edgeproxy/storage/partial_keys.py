"""Under which keys and digests there may be partial bodies, so that whoever asks for another need not ask the
index: nearly all misses do."""

from __future__ import annotations

from edgeproxy.errors import StorageError
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage.index import Index
from edgeproxy.storage.record import key_number

KEYS_MAX = 65_536  # about 100 bytes each


class PartialKeys:
    """Once there are more than `keys_max`, there may be one under any. What has gone is not forgotten before
    the next start. Used in any thread: a set takes one more in one step."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._known: set[int | str] = set()
        self._is_full = self._is_expecting = False

    def expect(self) -> None:
        """Those of a former life have yet to be loaded: until then there may be one under any."""
        self._is_expecting = True

    def load(self, known: Index) -> None:
        """Those of a former life. Blocks for as long as it takes to read that many. Raises StorageError."""
        try:
            rows = known.read("select key, digest from partials limit ?", (self._keys_max + 1,))
        except StorageError:
            self._is_full = True
            raise
        for key, digest in rows:
            self._add(key, digest)
        self._is_expecting = False

    def note(self, stored: StoredResponse) -> None:
        """A row about it is about to be written."""
        self._add(key_number(stored.key), stored.digest)

    def may_have(self, key: str, digest: str) -> bool:
        known = self._known
        return (
            self._is_full
            or self._is_expecting
            or (bool(known) and (key_number(key) in known or (digest != "" and digest in known)))
        )

    def _add(self, key: object, digest: object) -> None:
        if isinstance(key, int):
            self._known.add(key)
        if isinstance(digest, str) and digest:
            self._known.add(digest)
        if len(self._known) > self._keys_max:
            self._is_full = True
            self._known = set()
