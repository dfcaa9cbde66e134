"""How much the disk tier holds, and what leaves so that more can come.

Bodies, whole and in part, stand in one order: least recently used first. A partial body somebody works
on is passed over; a large body loses only what is needed (shrinking.py). What is freed is what had been
accounted for, so `used` is exact but for what the sweep and the owners of partial bodies correct. Who
belongs to a group used since is put off (groups.py)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeGuard

from edgeproxy.errors import StorageError
from edgeproxy.storage.crash import reach
from edgeproxy.storage.disk import DiskTier
from edgeproxy.storage.groups import PutOff, put_off
from edgeproxy.storage.shrinking import LARGE_BYTES, shrink_body, shrink_partial

Row = tuple[object, ...]
Place = tuple[object, str]  # time of last use, body
EVICT_BATCH = 64
FREE_CHECK_BYTES = 16 << 20
PUT_OFF_MAX = 4096  # in one search for room: then whoever was not used itself goes
VICTIMS = """
select * from (
  select last_used, id, allocated, 0,
         (select max(g.last_used) from responses r join groups g on g.id = r.grouped where r.body = bodies.id)
  from bodies where (last_used, id) > (?1, ?2) order by last_used, id limit ?3)
union all
select * from (
  select last_used, id, allocated, 1, (select g.last_used from groups g where g.id = partials.grouped)
  from partials where (last_used, id) > (?1, ?2) order by last_used, id limit ?3)
order by 1, 2 limit ?3
"""


class DiskRoom:
    """Used in any thread."""

    def __init__(self, disk: DiskTier) -> None:
        self.used = 0
        self.is_full = False  # the file system, as found last
        self._disk = disk
        self._lock = threading.Lock()
        self._evicting = threading.Lock()
        self._since_free_check = FREE_CHECK_BYTES

    def account(self, size: int) -> None:
        with self._lock:
            self.used += size

    def reserve(self, size: int) -> None:
        """Make room for `size` more bytes, evicting if need be. Raises StorageError."""
        with self._lock:
            self.used += size
            self._since_free_check += size
            look = self._since_free_check >= FREE_CHECK_BYTES or self.is_full
            if look:
                self._since_free_check = 0
        try:
            if self._excess() > 0:
                self._make_room(self._excess)
                if self._excess() > 0:
                    raise StorageError("the disk tier is full of bodies being written")
            if look:
                self._keep_free(size)
        except StorageError:
            self.account(-size)
            raise

    def _excess(self) -> int:
        return self.used - self._disk.limits.bytes_max

    def _keep_free(self, size: int) -> None:
        disk = self._disk

        def lacking() -> int:
            return disk.limits.free_bytes_min + size - disk.directory.free_bytes()

        try:
            if lacking() > 0:
                self._make_room(lacking)
                if lacking() > 0:
                    self.is_full = True
                    raise StorageError("the file system has too little free space")
        except OSError as error:
            raise disk.failed("write", error) from error
        self.is_full = False

    def evict(self, size: int) -> int:
        """Free `size` bytes, least recently used first; gives the bytes freed. Raises StorageError."""
        freed = 0

        def lacking() -> int:
            return size - freed

        with self._evicting:
            for part in self._free(lacking):
                freed += part
        return freed

    def still(self) -> contextlib.AbstractContextManager[object]:
        """Nothing is evicted inside the block: no body's file is gone whose row is not."""
        return self._evicting

    def _make_room(self, lacking: Callable[[], int]) -> None:
        """Several threads may find that room is lacking; whoever comes second sees what the first has
        freed already."""
        with self._evicting:
            for _ in self._free(lacking):
                pass

    def _free(self, lacking: Callable[[], int]) -> Iterator[int]:
        """Remove victims while something is `lacking`; yields the bytes each batch has freed."""
        place: Place = (float("-inf"), "")
        may_put_off = PUT_OFF_MAX
        while lacking() > 0:
            rows = self._disk.index.read(VICTIMS, (*place, EVICT_BATCH))
            if not rows:
                return
            candidates, later, end = _sorted_out(rows, may_put_off)
            if later:
                may_put_off -= len(later)
                self._disk.index.submit(partial(put_off, members=later)).result()
            wanted = lacking()
            with contextlib.ExitStack() as claims:
                bodies: list[str] = []
                partials: list[str] = []
                for row in candidates:
                    if wanted <= 0:
                        break
                    last_used, body, allocated, is_partial, _ = row
                    place = (last_used, str(body))
                    if is_partial and not claims.enter_context(self._disk.claims.briefly(str(body))):
                        continue
                    if (shrunk := self._shrink(row, wanted)) > 0:
                        yield shrunk
                        wanted -= shrunk
                        continue
                    (partials if is_partial else bodies).append(str(body))
                    wanted -= allocated if isinstance(allocated, int) else 0
                else:
                    place = end
                yield self._remove(bodies, partials)

    def _shrink(self, row: Row, wanted: int) -> int:
        """Let a large body lose only what is wanted; gives the bytes freed, 0 if it has to go as a whole."""
        last_used, body, allocated, is_partial, _ = row
        if not isinstance(allocated, int) or not isinstance(last_used, float):
            return 0
        is_large = allocated > LARGE_BYTES or is_partial  # one that has begun to shrink goes on to
        if not is_large or allocated - wanted < LARGE_BYTES // 4:
            return 0
        try:
            shrink = shrink_partial if is_partial else shrink_body
            freed = shrink(self._disk, str(body), wanted, last_used)
        except StorageError:
            return 0
        if freed:
            self._disk.event("evictions_total", "disk", "")
        return freed

    def _remove(self, bodies: list[str], partials: list[str]) -> int:
        disk, freed = self._disk, 0
        if not bodies and not partials:
            return 0
        reach("evicting")
        if bodies:
            freed += disk.drop(bodies, must_go=False)
        if partials:
            gone = disk.forget_partials(partials, must_go=False)
            disk.account(-gone)
            freed += gone
        disk.event("evictions_total", "disk", "")
        return freed


def _sorted_out(rows: Sequence[Row], put_off_max: int) -> tuple[list[Row], list[PutOff], Place]:
    """Candidates in order, who is put off instead, and the place behind all of them: that is before the
    first row that would have to come behind one put off."""
    candidates: list[Row] = []
    later: list[PutOff] = []
    place: Place = (float("-inf"), "")
    earliest = float("inf")
    for row in rows:
        last_used, body, _, is_partial, group_used = row
        if isinstance(last_used, float) and last_used >= earliest:
            break
        place = (last_used, str(body))
        if len(later) < put_off_max and _is_later(group_used, last_used):
            later.append(PutOff(str(body), group_used, bool(is_partial)))
            earliest = min(earliest, group_used)
        else:
            candidates.append(row)
    return candidates, later, place


def _is_later(group_used: object, last_used: object) -> TypeGuard[float]:
    return isinstance(group_used, float) and isinstance(last_used, float) and group_used > last_used
