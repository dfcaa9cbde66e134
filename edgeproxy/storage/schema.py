"""The tables of the index, and how those of an older edgeproxy become them.

    responses   one row a stored response; `address` is its cache key, for lists
    bodies      one row a whole body on disk; `digest` its SHA-256, null while unknown
    partials    one row a body that is there in part (extents.py)
    groups      when a group was used last (groups.py); `grouped` of responses and partials is its number
    purges      hard and soft purges, also in purges.log
    facts       `partial` 1 until the bodies have been read in; `unfilled` 1 until the columns that
                version 2 has added are filled in; `held` the allocated bytes of all bodies and partials,
                kept by triggers, so that a start need not add up millions of rows

Version 1 had neither partials nor `address` nor `digest`, version 2 no groups."""

from __future__ import annotations

import sqlite3

SCHEMA_VERSION = 3
SCHEMA = """
create table if not exists responses (
  id integer primary key, key integer not null, variant integer not null, body text not null,
  sequence integer not null, last_used real not null, record blob not null,
  address text not null default '', grouped integer);
create index if not exists responses_by_key on responses (key, variant);
create index if not exists responses_by_body on responses (body);
create index if not exists responses_by_sequence on responses (sequence);
create index if not exists responses_by_address on responses (address);
create index if not exists responses_by_group on responses (grouped) where grouped is not null;
create table if not exists bodies (
  id text primary key, size integer not null, allocated integer not null, last_used real not null,
  digest text) without rowid;
create index if not exists bodies_by_use on bodies (last_used);
create index if not exists bodies_by_digest on bodies (digest) where digest is not null;
create table if not exists partials (
  id text primary key, key integer not null, digest text, size integer not null,
  allocated integer not null, last_used real not null, sequence integer not null,
  extents blob not null, record blob not null, address text not null, grouped integer) without rowid;
create index if not exists partials_by_key on partials (key);
create index if not exists partials_by_digest on partials (digest) where digest is not null;
create index if not exists partials_by_use on partials (last_used);
create index if not exists partials_by_sequence on partials (sequence);
create index if not exists partials_by_address on partials (address);
create index if not exists partials_by_group on partials (grouped) where grouped is not null;
create table if not exists groups (id integer primary key, last_used real not null);
create table if not exists purges (
  scope text not null, value text not null, soft integer not null, number integer not null,
  primary key (scope, value, soft)) without rowid;
create table if not exists facts (name text primary key, value integer not null) without rowid;
"""
# A row that is replaced fires no trigger for its deletion. Before there is a fact to change, nothing is done.
HELD = """
create trigger if not exists {0}_in before insert on {0} begin
  update facts set value = value + new.allocated
    - coalesce((select allocated from {0} where id = new.id), 0) where name = 'held';
end;
create trigger if not exists {0}_changed after update of allocated on {0} begin
  update facts set value = value + new.allocated - old.allocated where name = 'held';
end;
create trigger if not exists {0}_out after delete on {0} begin
  update facts set value = value - old.allocated where name = 'held';
end;
"""
ADDED_UP = (
    "select (select coalesce(sum(allocated), 0) from bodies)"
    " + (select coalesce(sum(allocated), 0) from partials)"
)
FROM_VERSION_1 = """
begin;
alter table responses add column address text not null default '';
alter table bodies add column digest text;
insert or replace into facts values ('unfilled', 1);
alter table responses add column grouped integer;
pragma user_version = 3;
commit;
"""
FROM_VERSION_2 = """
begin;
alter table responses add column grouped integer;
alter table partials add column grouped integer;
pragma user_version = 3;
commit;
"""


def prepare(connection: sqlite3.Connection) -> tuple[bool, bool]:
    """Make or bring up to date the tables; tells whether bodies have to be read in, and whether columns
    have to be filled in. Raises sqlite3.DatabaseError for an index of another version."""
    (version,) = connection.execute("pragma user_version").fetchone()
    if version == 1:
        connection.executescript(FROM_VERSION_1)
    elif version == 2:
        connection.executescript(FROM_VERSION_2)
    elif version not in (0, SCHEMA_VERSION):
        raise sqlite3.DatabaseError("another version of the index")
    connection.executescript(SCHEMA + HELD.format("bodies") + HELD.format("partials"))
    if version == 0:
        connection.execute("insert or replace into facts values ('partial', 1)")
        connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
    facts = dict(connection.execute("select name, value from facts").fetchall())
    if "held" not in facts:  # an index of an edgeproxy that added up at every start
        connection.execute(f"insert or ignore into facts values ('held', ({ADDED_UP}))")
    return facts.get("partial", 1) != 0, facts.get("unfilled", 0) != 0
