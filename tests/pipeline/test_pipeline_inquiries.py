"""What a site has to know first: asked once for all who wait, learned from whatever comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pipeline_house import ORIGIN, House, Scripted

from edgeproxy.errors import ProxyError, RequestError, UpstreamError
from edgeproxy.message import CacheOutcome, FileSlice, Outcome, Part, Request, Response
from edgeproxy.pipeline import inquiries
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.site import ContentWanted, Inquiry, Plan, Planned, Seen, Unacceptable

REFUSED = UpstreamError(ProxyError.CONNECTION_REFUSED, "refused")
CUT = UpstreamError(ProxyError.HTTP_RESPONSE_INCOMPLETE, "cut")
API = Plan(ORIGIN, "/api", Rules())
DONE = Plan(ORIGIN, "/done", Rules())


@dataclass
class AskingSite:
    """Asks its inquiry until it has learned something, then plans DONE."""

    inquiry: Inquiry
    name: str = "one"
    learned: list[Any] = field(default_factory=list)

    def plan(self, request: Request, path: str) -> Planned:
        return DONE if self.learned else self.inquiry

    def learn(self, learned: Any) -> None:
        self.learned.append(learned)


def same(seen: Seen) -> Any:
    return seen


def asking(read: Callable[[Seen], Any] = same, **changes: Any) -> AskingSite:
    return AskingSite(Inquiry("api", API, read, **changes))


REQUEST = Request("GET", "/x", client="192.0.2.1")


async def plan(house: House, site: Any, request: Request = REQUEST) -> Any:
    _, planned = await house.inquiries.plan(request, site, request.target)
    return planned


async def test_what_comes_is_read_learned_and_then_planned_with(house: House) -> None:
    house.upstream.answers("/api", Scripted(pieces=(b"one ", b"answer")))
    site = asking()
    assert await plan(house, site) is DONE
    (seen,) = site.learned
    assert (seen.status, seen.data, seen.error, seen.is_stale, seen.at) == (
        200,
        b"one answer",
        "",
        False,
        house.now,
    )


async def test_the_way_a_request_has_come_is_told_so_that_circles_are_noticed(house: House) -> None:
    house.upstream.answers("/api", Scripted())
    way = REQUEST.headers.adding((("Via", "1.1 child"), ("CDN-Loop", "child")))
    await plan(house, asking(), replace(REQUEST, headers=way))
    (sent,) = house.upstream.requests
    assert sent.headers.get("Via").startswith("1.1 child, ")
    assert sent.headers.get("CDN-Loop").startswith("child, ")


async def test_fields_of_the_client_are_not_sent(house: House) -> None:
    house.upstream.answers("/api", Scripted())
    secret = replace(REQUEST, headers=REQUEST.headers.adding((("Authorization", "secret"), ("Cookie", "c"))))
    await plan(house, asking(), secret)
    (sent,) = house.upstream.requests
    assert "Authorization" not in sent.headers
    assert "Cookie" not in sent.headers


async def test_everybody_who_waits_for_the_same_shares_one_exchange(house: House) -> None:
    house.upstream.gate = asyncio.Event()
    house.upstream.answers("/api", Scripted(fields=(("Cache-Control", "no-store"),)))
    site = asking()
    waiting = [asyncio.ensure_future(plan(house, site)) for _ in range(20)]
    await house.settle()
    waiting[0].cancel()
    await house.settle()
    house.upstream.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [DONE] * 19
    assert (len(house.upstream.requests), len(site.learned)) == (1, 1)


async def test_an_answer_is_stored_and_serves_the_next_one_who_asks(house: House) -> None:
    house.upstream.answers("/api", Scripted())
    await plan(house, asking())
    again = asking()
    await plan(house, again)
    assert len(house.upstream.requests) == 1
    assert again.learned[0].data == b"hello world"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (REFUSED, "refused"),
        (Scripted(pieces=(b"hel", CUT), length=11), "cut"),
        (Scripted(pieces=(b"x" * 101,)), "more than 100 bytes"),
    ],
)
async def test_failure_is_learned_too(house: House, answer: Any, error: str) -> None:
    house.upstream.answers("/api", answer)
    site = asking(content_bytes_max=100)
    assert await plan(house, site) is DONE
    assert (site.learned[0].status, site.learned[0].data) == (0, b"")
    assert error in site.learned[0].error


async def test_a_status_is_an_answer(house: House) -> None:
    house.upstream.answers("/api", Scripted(404, pieces=(b"none",)))
    site = asking()
    await plan(house, site)
    assert (site.learned[0].status, site.learned[0].data, site.learned[0].error) == (404, b"none", "")


async def test_what_the_store_gives_while_upstream_gives_nothing_is_marked_stale(house: House) -> None:
    stale = replace(API, rules=Rules(stale_if_error=1000.0))
    house.upstream.answers("/api", Scripted(), REFUSED)
    site = AskingSite(Inquiry("api", stale, same))
    await plan(house, site)
    house.now += 100
    site.learned.clear()
    await plan(house, site)
    assert (site.learned[0].status, site.learned[0].data, site.learned[0].is_stale) == (
        200,
        b"hello world",
        True,
    )


async def test_what_cannot_be_what_was_asked_for_is_read_again_as_a_failure(house: House) -> None:
    def read(seen: Seen) -> Any:
        if seen.status:
            raise Unacceptable("no JSON")
        return seen.error

    house.upstream.answers("/api", Scripted())
    site = asking(read)
    assert await plan(house, site) is DONE
    assert site.learned == ["no JSON"]
    assert house.metrics.value("unacceptable_total", "one") == 1


async def test_what_was_learned_all_the_same_is_enough(house: House) -> None:
    def read(seen: Seen) -> Any:
        raise Unacceptable("odd", learned="something")

    house.upstream.answers("/api", Scripted())
    site = asking(read)
    assert await plan(house, site) is DONE
    assert site.learned == ["something"]


@pytest.mark.parametrize("status", [401, 403])
async def test_what_is_not_public_any_more_is_forgotten(house: House, status: int) -> None:
    house.upstream.answers("/api", Scripted(), Scripted(status, (("Cache-Control", "no-store"),), (b"no",)))
    site = asking()
    await plan(house, site)
    assert house.store.kept[API.key]
    house.now += 100
    site.learned.clear()
    await plan(house, site)
    assert site.learned[0].status == status
    assert not house.store.kept[API.key]


async def test_other_statuses_forget_nothing(house: House) -> None:
    stale = replace(API, rules=Rules(stale_if_error=1000.0))
    house.upstream.answers("/api", Scripted(), Scripted(503))
    site = AskingSite(Inquiry("api", stale, same))
    await plan(house, site)
    house.now += 100
    site.learned.clear()
    await plan(house, site)
    assert house.store.kept[API.key]


async def test_a_site_that_asks_for_ever_is_stopped(house: House) -> None:
    class Endless(AskingSite):
        def plan(self, request: Request, path: str) -> Planned:
            return self.inquiry

    house.upstream.answers("/api", Scripted())
    site = Endless(Inquiry("api", API, same))
    with pytest.raises(RequestError, match="asks for ever") as error:
        await plan(house, site)
    assert (error.value.status, error.value.close) == (508, False)
    assert len(site.learned) == inquiries.ROUNDS_MAX


async def test_a_stored_answer_is_read_from_its_file(house: House, tmp_path: Any) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"..from a file..")

    class FileBody:
        length = 11
        closed = False

        async def parts(self) -> AsyncIterator[Part]:
            yield b"bytes "
            with path.open("rb") as file:
                yield FileSlice(file, 2, 11)

        async def aclose(self) -> None:
            FileBody.closed = True

    async def fetch(request: Request, plan: Plan, site: Any) -> Response:
        return Response(200, body=FileBody(), outcome=Outcome(CacheOutcome.HIT))

    house.inquiries.fetch = fetch
    site = asking()
    await plan(house, site)
    assert site.learned[0].data == b"bytes from a file"
    assert FileBody.closed


# -- the content of requests -----------------------------------------------------------------------


@dataclass
class Content:
    chunks: tuple[bytes, ...]
    length: int | None = None
    read: int = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.read += 1
            yield chunk


class Reading:
    """Plans only with the content of the request."""

    name = "one"

    def plan(self, request: Request, path: str) -> Planned:
        return ContentWanted(10) if request.content is None else DONE

    def learn(self, learned: Any) -> None:
        raise AssertionError("nothing was asked")


@pytest.mark.parametrize(
    ("body", "content"),
    [(None, b""), (Content(()), b""), (Content((b"12345", b"67890")), b"1234567890")],
)
async def test_the_content_is_handed_to_the_site_as_a_whole(
    house: House, body: Content | None, content: bytes
) -> None:
    request = Request("POST", "/x", body=body)
    request, planned = await house.inquiries.plan(request, Reading(), "/x")
    assert planned is DONE
    assert request.content == content


@pytest.mark.parametrize(
    ("body", "read"), [(Content((b"x",) * 99, length=11), 0), (Content((b"12345",) * 99), 3)]
)
async def test_too_much_content_is_refused_as_soon_as_that_is_known(
    house: House, body: Content, read: int
) -> None:
    with pytest.raises(RequestError) as error:
        await plan(house, Reading(), Request("POST", "/x", body=body))
    assert (error.value.status, body.read) == (413, read)


async def test_a_site_that_wants_the_content_twice_is_wrong(house: House) -> None:
    class Twice(Reading):
        def plan(self, request: Request, path: str) -> Planned:
            return ContentWanted(10)

    with pytest.raises(RequestError, match="already") as error:
        await plan(house, Twice(), Request("POST", "/x", body=Content((b"x",))))
    assert error.value.status == 500
