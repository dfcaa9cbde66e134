"""Certificates that change under a running node."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stands.authority import Authority, Issued

from edgeproxy.config import Tls
from edgeproxy.errors import ConfigurationError
from edgeproxy.metrics import Metrics
from edgeproxy.serving.tls import Sources
from edgeproxy.serving.tls_watch import TICKET_KEY_SECONDS, TlsWatch


@dataclass
class Watched:
    watch: TlsWatch
    metrics: Metrics
    reports: list[str] = field(default_factory=list)
    later: float = 0.0

    def reloads(self, end: str) -> int:
        return self.metrics.value("tls_reloads_total", end)


@pytest.fixture
def issued(authority: Authority) -> Issued:
    return authority.issue("node")


@pytest.fixture
def watched(issued: Issued, tmp_path: Path) -> Watched:
    return watching(Tls(certificate=str(issued.certificate), key=str(issued.key)), tmp_path)


def watching(tls: Tls, directory: Path) -> Watched:
    held: Any = Watched(None, Metrics())  # type: ignore[arg-type]  # set below
    held.watch = TlsWatch(
        Sources(tls, directory, ("localhost",)),
        ("http/1.1",),
        clock=lambda: time.time() + held.later,
        metrics=held.metrics,
        report=held.reports.append,
    )
    return held


async def test_nothing_is_read_again_that_has_not_changed(watched: Watched) -> None:
    await watched.watch.start()
    first = watched.watch.contexts
    await watched.watch.look()
    assert watched.watch.contexts is first
    assert watched.reloads("ok") == 0


async def test_what_has_changed_is_handed_over_whole(
    watched: Watched, authority: Authority, issued: Issued
) -> None:
    await watched.watch.start()
    first = watched.watch.contexts
    authority.issue("new", ["new.example"]).move_to(issued)
    await watched.watch.look()
    assert watched.watch.contexts is not first
    assert "new.example" in watched.watch.contexts.by_name
    assert "localhost" in first.by_name
    assert watched.reloads("ok") == 1
    assert watched.reports == []


async def test_two_files_need_not_change_at_once(
    watched: Watched, authority: Authority, issued: Issued
) -> None:
    await watched.watch.start()
    first, new = watched.watch.contexts, authority.issue("new", ["new.example"])
    new.certificate.replace(issued.certificate)
    await watched.watch.look()  # the key is still the old one
    assert watched.watch.contexts is first
    new.key.replace(issued.key)
    await watched.watch.look()
    assert "new.example" in watched.watch.contexts.by_name
    assert watched.reports == []
    assert watched.reloads("failed") == 0


async def test_what_is_broken_is_reported_once_and_the_old_one_stays(
    watched: Watched, authority: Authority, issued: Issued
) -> None:
    await watched.watch.start()
    first = watched.watch.contexts
    issued.key.write_text("broken")
    for _ in range(5):
        await watched.watch.look()
    assert watched.watch.contexts is first
    assert len(watched.reports) == 1
    assert watched.reports[0].startswith("tls.key: ")
    assert watched.reloads("failed") == 1
    issued.certificate.unlink()
    for _ in range(3):
        await watched.watch.look()
    assert [line.partition(":")[0] for line in watched.reports] == ["tls.key", "tls.certificate"]
    authority.issue("new", ["new.example"]).move_to(issued)
    await watched.watch.look()
    assert "new.example" in watched.watch.contexts.by_name


async def test_ticket_keys_do_not_live_for_ever(watched: Watched) -> None:
    await watched.watch.start()
    first = watched.watch.contexts
    watched.later = TICKET_KEY_SECONDS
    await watched.watch.look()
    assert watched.watch.contexts is not first


async def test_an_end_that_comes_near_is_told_once_a_day(watched: Watched) -> None:
    await watched.watch.start()
    watched.later = 50 * 86400.0
    for _ in range(3):
        await watched.watch.look()
    assert watched.reports == ["a certificate of the https listeners expires in 9 days"]
    assert 8 * 86400 < watched.metrics.gauges["certificate_seconds"]() < 10 * 86400


async def test_the_first_time_everything_must_be_good(watched: Watched, issued: Issued) -> None:
    issued.certificate.unlink()
    with pytest.raises(ConfigurationError, match=r"tls\.certificate"):
        await watched.watch.start()


async def test_a_certificate_of_the_nodes_own_is_renewed_in_time(tmp_path: Path) -> None:
    watched = watching(Tls(self_signed=True), tmp_path)
    await watched.watch.start()
    first = watched.watch.contexts
    await watched.watch.look()
    assert watched.watch.contexts is first
    watched.later = 800 * 86400.0
    await watched.watch.look()
    assert watched.watch.contexts.expires > first.expires
    assert watched.reports == []
