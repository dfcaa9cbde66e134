"""Lists of what is on disk, page by page in order of the keys, from the index alone."""

from __future__ import annotations

from edgeproxy.storage import record
from edgeproxy.storage.extents import Extents
from edgeproxy.storage.generations import Generations, Verdict
from edgeproxy.storage.index import Index
from edgeproxy.storage.record import Damaged
from edgeproxy.storage.store import Listed

BATCH = 500
LAST = "\U0010ffff"
# A key may have several rows: `tie` orders them and makes a place to go on from.
ROWS = """
select * from (
  select address, 'w' || printf('%019d', r.id) as tie, r.record, b.allocated, r.last_used, null
  from responses r join bodies b on b.id = r.body
  where address >= ?1 and address < ?3 and (address > ?1 or 'w' || printf('%019d', r.id) > ?2)
  order by 1, 2 limit ?4)
union all
select * from (
  select address, 'p' || id as tie, record, allocated, last_used, extents
  from partials
  where address >= ?1 and address < ?3 and (address > ?1 or 'p' || id > ?2)
  order by 1, 2 limit ?4)
order by 1, 2 limit ?4
"""


def listing(
    known: Index, generations: Generations, prefix: str, after: str, limit: int
) -> tuple[Listed, ...]:
    """See store.Store.listing. Raises StorageError."""
    prefix = prefix.encode("utf-8", "replace").decode("utf-8")
    address, tie = after.rsplit(" ", 1) if " " in after else (prefix, "")
    found: list[Listed] = []
    while len(found) < limit:
        count = min(BATCH, limit - len(found))
        rows = known.read(ROWS, (max(address, prefix), tie, prefix + LAST, count))
        for row in rows:
            address, tie = str(row[0]), str(row[1])
            listed = _listed(row, generations)
            if listed is not None:
                found.append(listed)
        if len(rows) < count:
            break
    return tuple(found)


def _listed(row: tuple[object, ...], generations: Generations) -> Listed | None:
    """None for what is damaged, or dead by a purge and not reclaimed yet."""
    address, tie, data, allocated, last_used, extents = row
    try:
        stored = record.decode(data if isinstance(data, bytes) else b"")
        is_complete = extents is None
        held = allocated if isinstance(allocated, int) else 0
        if isinstance(extents, bytes):
            held = Extents.decode(extents, stored.body_bytes).spans.total
    except Damaged:
        return None
    if generations.verdict(stored) is Verdict.DEAD:
        return None
    return Listed(
        place=f"{address} {tie}",
        stored=stored,
        held_bytes=held,
        is_complete=is_complete,
        last_used=last_used if isinstance(last_used, float) else 0.0,
    )
