"""Probes, looks and announcements over TLS, as two ends meet."""

from __future__ import annotations

import ssl
import time
from dataclasses import replace
from pathlib import Path

import pytest
from router.router_server import stub, until
from stands.authority import Authority, Issued

from edgeproxy.router.announcement import Announcement
from edgeproxy.router.announcer import Announcer, AnnouncerSettings
from edgeproxy.router.nodes import RouteNode
from edgeproxy.router.prober import Prober, ProbeSettings
from edgeproxy.router.registry import Listed
from edgeproxy.router.short_exchange import ExchangeFailed, exchange
from edgeproxy.router.tls_trust import NotTrusted, TlsTrust, TrustSettings
from edgeproxy.tasks import Tasks


class Ends:
    """A server with a certificate of `ours`, which asks clients for theirs if `asks`."""

    def __init__(self, place: Path) -> None:
        self.ours, self.others = Authority(place), Authority(place, "somebody else")
        self.server, self.client = self.ours.issue("server"), self.ours.issue("client", ["client.test"])
        self.stranger = self.others.issue("stranger", ["stranger.test"])

    def context(self, *, asks: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ours.file))
        context.load_cert_chain(self.server.certificate, self.server.key)
        context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
        return context

    @property
    def trusting(self) -> TrustSettings:
        return TrustSettings(ca_file=str(self.ours.file))


def showing(settings: TrustSettings, own: Issued) -> TrustSettings:
    return replace(settings, certificate=str(own.certificate), key=str(own.key))


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    return Ends(tmp_path)


async def asked(ends: Ends, settings: TrustSettings, *, asks: bool = False) -> int:
    async with stub(tls=ends.context(asks=asks)) as server:
        return (await exchange(server.url, seconds=20, tls=TlsTrust(settings))).status


async def test_who_is_trusted_is_talked_to(ends: Ends) -> None:
    pin = ends.server.pin
    assert await asked(ends, ends.trusting) == 200
    assert await asked(ends, TrustSettings(verify=False)) == 200
    assert await asked(ends, replace(ends.trusting, pins=("A" * 43 + "=", pin))) == 200
    assert await asked(ends, TrustSettings(verify=False, pins=(pin,))) == 200
    assert await asked(ends, showing(ends.trusting, ends.client), asks=True) == 200


async def test_who_is_not_trusted_is_not(ends: Ends) -> None:
    pin = ends.client.pin
    for settings, why in (
        (TrustSettings(), "CERTIFICATE_VERIFY_FAILED"),
        (TrustSettings(ca_file=str(ends.others.file)), "CERTIFICATE_VERIFY_FAILED"),
        (replace(ends.trusting, pins=(pin,)), "none of those pinned"),
        (TrustSettings(verify=False, pins=(pin,)), "none of those pinned"),
    ):
        with pytest.raises(ExchangeFailed, match=why):
            await asked(ends, settings)
    for settings in (ends.trusting, showing(ends.trusting, ends.stranger)):
        with pytest.raises(ExchangeFailed):
            await asked(ends, settings, asks=True)


async def test_a_request_is_never_sent_to_a_key_that_is_not_pinned(ends: Ends) -> None:
    async with stub(tls=ends.context()) as server:
        trust = TlsTrust(replace(ends.trusting, pins=("A" * 43 + "=",)))
        with pytest.raises(ExchangeFailed):
            await exchange(server.url, seconds=20, fields=(("Authorization", "Bearer t"),), tls=trust)
        assert server.asked == []


def test_files_that_appear_anew_are_read_and_one_that_is_missing_for_a_moment_is_not_missed(
    ends: Ends, tmp_path: Path
) -> None:
    file = tmp_path / "roots.pem"
    file.write_bytes(ends.ours.file.read_bytes())
    trust = TlsTrust(TrustSettings(ca_file=str(file)))
    first = trust.context()
    assert trust.context() is first
    file.unlink()
    assert trust.context() is first
    ends.others.file.rename(file)
    assert trust.context() is not first


def test_files_that_cannot_be_used_are_named(ends: Ends, tmp_path: Path) -> None:
    locked = ends.ours.issue("locked", passphrase=b"secret")
    (tmp_path / "empty.pem").write_bytes(b"")
    for settings, named in (
        (TrustSettings(ca_file="/nowhere.pem"), "/nowhere.pem"),
        (TrustSettings(ca_file=str(tmp_path / "empty.pem")), "empty.pem"),
        (showing(TrustSettings(), Issued(ends.client.certificate, ends.server.key)), "client.pem"),
        (showing(TrustSettings(), locked), "locked"),
    ):
        with pytest.raises(NotTrusted, match=named):
            TlsTrust(settings).context()


async def test_probes_and_announcements_trust_as_they_are_told(ends: Ends) -> None:
    tasks = Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
    looks: list[bool] = []
    lines: list[str] = []

    class Judge:
        def looked(self, node: str, alive: bool) -> None:
            looks.append(alive)

        def is_suspicious(self, node: str) -> bool:
            return False

    async with stub(tls=ends.context()) as server:
        listed = [Listed(RouteNode("one"), probe=server.url)]
        for trust in (TlsTrust(ends.trusting), TlsTrust()):
            prober = Prober(
                lambda: listed, Judge(), ProbeSettings(), tasks=tasks, timer=time.monotonic, tls=trust
            )
            prober.look()
            prober.soon("one")
            prober.look()
            announcer = Announcer(
                AnnouncerSettings((server.url,), "token"),
                lambda now: Announcement("one", now),
                clock=time.time,
                tasks=tasks,
                report=lines.append,
                tls=trust,
            )
            announcer.announce()
            await until(lambda: not len(tasks))
    assert looks == [True, False]
    assert len(lines) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in lines[0]
    await tasks.aclose()
