"""What is used together leaves together: the files of one snapshot of a repository, say.

A use of one member is noted as a use of the group: one row, however many members there are. Eviction goes
by when each body was used itself, and where it comes upon one whose group was used since, it puts that one
off: the body gets the group's time, and stands in the order beside the other members. So the members of
a group gather there as eviction reaches them, and leave one after the other once no group was used
longer ago. A body that several groups share stays as long as the one used last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sqlite3 import Connection

from edgeproxy.storage import record

FORGET_ALL_UNUSED = """
delete from groups where id not in (select grouped from responses where grouped is not null)
                     and id not in (select grouped from partials where grouped is not null)
"""


@dataclass(frozen=True, slots=True)
class PutOff:
    """A body, whole or in part, that counts as used at a later time, as its group was."""

    body: str
    used: float
    is_partial: bool


def note_use(connection: Connection, group: str, now: float) -> int | None:
    """Note that `group` was used at `now`, if not later; gives its number, None for no group."""
    if not group:
        return None
    number = record.key_number(group)
    connection.execute(
        "insert into groups values (?, ?) on conflict (id)"
        " do update set last_used = max(last_used, excluded.last_used)",
        (number, now),
    )
    return number


def forget_unused(connection: Connection, numbers: Iterable[int | None]) -> None:
    """Forget those of the groups that have no members any more."""
    for number in numbers:
        if number is not None:
            connection.execute(
                "delete from groups where id = ?1"
                " and not exists (select 1 from responses where grouped = ?1)"
                " and not exists (select 1 from partials where grouped = ?1)",
                (number,),
            )


def put_off(connection: Connection, members: Sequence[PutOff]) -> None:
    for member in members:
        table = "partials" if member.is_partial else "bodies"
        connection.execute(
            f"update {table} set last_used = max(last_used, ?) where id = ?", (member.used, member.body)
        )
