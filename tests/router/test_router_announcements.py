from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from router.router_keeping import House, announcement
from router.router_world import NOW

from edgeproxy.message import BytesBody, Headers, Request
from edgeproxy.router.announcement import BODY_BYTES_MAX, Announcement, RoundTrip, Seen
from edgeproxy.router.announcements import PATH, Announcements
from edgeproxy.router.holdings import digest_of, encode


class Content:
    """The content of a request; `length` None where it was not told."""

    def __init__(self, data: bytes, length: int | None = -1) -> None:
        self._data = data
        self.length = len(data) if length == -1 else length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._data), 65536):
            yield self._data[at : at + 65536]


class Post:
    def __init__(self) -> None:
        self.house = House(("berlin", "paris"))
        self.endpoint = Announcements(
            self.house.registry, self.house.keeper, clock=self.house.clock, report=self.house.lines.append
        )

    async def __call__(
        self, body: bytes | Announcement, token: str = "all", *, method: str = "POST", **request: Any
    ) -> tuple[int, str]:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = Headers([("Authorization", f"Bearer {token}")] if token else [])
        content = request.pop("content", None) or Content(data)
        response = await self.endpoint(
            Request(method, PATH, headers, client="192.0.2.1", body=content, **request)
        )
        assert isinstance(response.body, BytesBody)
        assert response.headers.get("Cache-Control") == "no-store"
        return response.status, response.body.data.decode()


@pytest.fixture
def post() -> Post:
    return Post()


async def test_a_node_that_announces_itself_is_told_whom_to_look_at(post: Post) -> None:
    status, text = await post(announcement())
    assert status == 200
    answer = msgspec.json.decode(text)
    assert answer["heartbeat"] == 10.0
    assert {(peer["name"], peer["probe"]) for peer in answer["peers"]} == {
        ("berlin", "http://berlin.example/healthz"),
        ("paris", "http://paris.example/healthz"),
    }
    post.house.keeper.publish()
    assert post.house.node("oslo").state == "up"


async def test_what_it_measured_saw_and_holds_is_used(post: Post) -> None:
    await post(announcement())
    post.house.keeper.publish()
    for number in range(1, 4):
        post.house.clock.now += 10
        status, _ = await post(
            announcement(
                at=post.house.clock.now,
                holds=base64.b64encode(encode(["a", "b"])).decode() if number == 1 else "",
                round_trips=[RoundTrip("8.0.1.0/24", 15.0, 2)],
                seen=[Seen("berlin", False), Seen("paris", True, 12.0)],
            )
        )
        assert status == 200
    post.house.learn()
    assert post.house.node("oslo").holds == {digest_of("a"), digest_of("b")}
    assert post.house.down() == {"berlin"}
    observed = post.house.keeper.snapshot.beliefs.observed
    assert any(node == "oslo" for _, _, node in observed)


@pytest.mark.parametrize(
    ("body", "token", "status"),
    [
        (announcement(), "", 401),
        (announcement(), "wrong", 401),
        (announcement(), "älter", 401),
        (b"garbage", "wrong", 401),  # who has no token is not read at all
        (b"garbage", "all", 400),
        (b"", "all", 400),
        (b"x" * (BODY_BYTES_MAX + 1), "all", 413),
        (announcement(at=NOW - 3600), "all", 400),
        (announcement(url="https://evil.com"), "all", 403),
        (announcement(holds="%%%"), "all", 400),
        (announcement(holds="AAAA"), "all", 400),
    ],
    ids=range(11),
)
async def test_hostile_announcements_are_refused_with_a_status_and_one_line(
    post: Post, body: bytes | Announcement, token: str, status: int
) -> None:
    found, text = await post(body, token)
    assert found == status
    assert text.count("\n") == 1
    assert len(post.house.lines) == 1
    assert "\n" not in post.house.lines[0]
    post.house.keeper.publish()
    assert {one.name for one in post.house.keeper.snapshot.nodes} == {"berlin", "paris"}


async def test_content_without_a_length_is_bounded_too(post: Post) -> None:
    status, _ = await post(b"", content=Content(b"x" * (BODY_BYTES_MAX + 1), None))
    assert status == 413


async def test_other_methods_are_refused(post: Post) -> None:
    assert (await post(announcement(), method="GET"))[0] == 405


async def test_a_stolen_name_is_refused(post: Post) -> None:
    assert (await post(announcement()))[0] == 200
    post.house.clock.now += 5
    status, text = await post(announcement(at=NOW + 5, url="https://thief.edge.example"))
    assert (status, "belongs to" in text) == (409, True)


async def test_a_flood_of_bad_announcements_writes_few_lines(post: Post) -> None:
    for _ in range(100):
        await post(b"x")
    assert len(post.house.lines) == 1
    post.house.clock.now += 11
    await post(b"x")
    assert post.house.lines[1].endswith("(and 99 more)")


async def test_a_node_tells_its_own_map_without_a_token_and_lives_because_it_does(post: Post) -> None:
    house, keeper = post.house, post.house.keeper
    for _ in range(8):
        house.clock.now += 10.0
        trips = [RoundTrip("8.0.1.0/24", 40.0, 9)]
        await post.endpoint.own(
            announcement("berlin", at=house.clock.now, utilisation=0.9, round_trips=trips, url="")
        )
        house.learn()
    assert house.node("berlin").utilisation > 0.8
    assert (0, "8.0.1.0/24", "berlin") in keeper.snapshot.beliefs.observed
    # It could say nothing for a while, so that it was thought dead: nobody else looks at it.
    house.clock.now += 40.0
    keeper.publish()
    assert house.down() == {"berlin"}
    for _ in range(80):
        house.clock.now += 10.0
        await post.endpoint.own(announcement("berlin", at=house.clock.now, url=""))
        keeper.publish()
    assert house.down() == set()
