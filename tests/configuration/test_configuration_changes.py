"""What a new configuration changes now, and what needs a restart."""

from __future__ import annotations

from typing import Any

import pytest

from edgeproxy.config import Admin, Cache, Config, Limits, Listen, Log, Node, Site
from edgeproxy.configuration.changes import addresses, changes

OLD = Config(site=[Site(name="a", mount="/a"), Site(name="b", mount="/b")])


def new(**sections: Any) -> Config:
    return Config(**{"site": OLD.site, **sections})


@pytest.mark.parametrize(
    ("config", "now", "later"),
    [
        (new(), (), ()),
        (new(limits=Limits(uri=5, head=6)), ("limits.head", "limits.uri"), ()),
        (new(log=Log(level="error")), ("log.level",), ()),
        (new(listen=Listen(http=["127.0.0.1:1"])), ("listen.http",), ()),
        (new(listen=Listen(backlog=1)), (), ("listen.backlog",)),
        (new(cache=Cache(directory="/x", memory=1)), (), ("cache.directory", "cache.memory")),
        (new(admin=Admin(listen="")), (), ("admin.listen",)),
        (new(node=Node(name="n", workers=2, offline=True)), ("node.name", "node.offline"), ("node.workers",)),
        (new(site=[OLD.site[0], Site(name="b", mount="/c")]), ("site.b",), ()),
        (new(site=[OLD.site[1]]), ("site.a",), ()),
        (new(site=[*OLD.site, Site(name="c", mount="/c")]), ("site.c",), ()),
        (new(site=OLD.site[::-1]), ("site",), ()),
    ],
)
def test_every_key_that_differs_is_named(
    config: Config, now: tuple[str, ...], later: tuple[str, ...]
) -> None:
    found = changes(OLD, config)
    assert (found.now, found.later) == (now, later)
    assert found.touches(*(key.partition(".")[0] for key in now)) is bool(now)


def test_what_needs_a_restart_stays_as_it_was_and_the_rest_is_new() -> None:
    config = new(
        cache=Cache(memory=1), node=Node(name="n", workers=2), listen=Listen(http=["h:1"], backlog=1)
    )
    found = changes(OLD, config)
    assert found.config == new(node=Node(name="n"), listen=Listen(http=["h:1"]))
    assert changes(found.config, config).now == ()  # the next reload names the same again
    assert changes(found.config, config).later == found.later


def test_addresses_are_those_clients_connect_to() -> None:
    assert addresses(Listen(http=["h:1", "unix:/s"])) == [("http", "h:1"), ("http", "unix:/s")]
