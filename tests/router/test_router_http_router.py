from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace

import orjson
import pytest
from router_asking import SECRET, World, where
from router_world import NOW, node

from edgeproxy.config_router import Router
from edgeproxy.message import BytesBody, Headers, Request, Response
from edgeproxy.router.coverage import Elsewhere, coverage
from edgeproxy.router.file_facts import KnownFiles
from edgeproxy.router.nodes import NodeState
from edgeproxy.router.snapshot import Snapshot

FILE, SMALL = "/hf/acme/m/resolve/main/weights.bin", "/hf/acme/m/resolve/main/config.json"
WHEEL = "/pypi/f/files.example/a/big-1.0-py3-none-any.whl"
MIB = 1 << 20
SIZES = {FILE: 50 * MIB, SMALL: 100, WHEEL: 5 * MIB, "/files/a?b=%20&c": 9 * MIB}


def test_each_client_is_sent_to_its_nearest_node_for_a_large_file() -> None:
    world = World(SIZES)
    assert [where(world.ask(FILE, city)) for city in ("berlin", "sydney", "denver")] == [
        *("paris", "tokyo", "denver")
    ]
    response = world.ask(FILE)
    assert (response.status, response.headers.get("Cache-Control")) == (302, "no-store")


@pytest.mark.parametrize(
    ("method", "target", "fields"),
    [
        ("HEAD", FILE, {}),
        ("GET", SMALL, {}),
        ("GET", "/pypi/simple/big/", {}),
        ("GET", "/hf/api/models/acme/m", {}),
        ("GET", FILE, {"Authorization": "Bearer hf_x"}),
        ("GET", FILE, {"Cookie": "session=1"}),
        ("POST", FILE, {}),
        ("GET", "/elsewhere/f", {}),
    ],
)
def test_what_a_redirect_would_break_is_answered_behind_the_router(
    method: str, target: str, fields: dict[str, str]
) -> None:
    world = World(SIZES)
    response = world.ask(target, method=method, fields=fields)
    assert response.status == 200
    assert world.behind.asked[-1] == (method, target)


def test_path_and_query_are_kept_byte_for_byte() -> None:
    assert World(SIZES).ask("/files/a?b=%20&c").headers.get("Location") == (
        "http://paris.example/files/a?b=%20&c"
    )


def test_the_redirect_bears_what_the_hubs_clients_read_off_it() -> None:
    world = World(SIZES)
    world.behind.fields = {
        "X-Repo-Commit": "c" * 40,
        "ETag": '"e"',
        "X-Linked-Etag": f'"{"d" * 64}"',
        "X-Linked-Size": str(50 * MIB),
        "Accept-Ranges": "bytes",
        "Set-Cookie": "no=1",
    }
    headers = world.ask(FILE).headers
    assert {name: value for name, value in headers if name in world.behind.fields} == {
        name: value for name, value in world.behind.fields.items() if name != "Set-Cookie"
    }


def test_what_head_told_is_not_asked_again_and_is_believed_for_a_while() -> None:
    world = World(SIZES)
    world.ask(FILE, method="HEAD")
    assert world.ask(FILE).status == 302
    assert world.behind.asked == [("HEAD", FILE)]
    world.now += 61
    world.behind.sizes[FILE] = 10
    assert world.ask(FILE).status == 200


def test_what_is_told_with_credentials_is_told_to_nobody_else() -> None:
    world = World(SIZES)
    world.ask(FILE, method="HEAD", fields={"Authorization": "Bearer x"})
    world.behind.sizes.clear()
    assert world.ask(FILE).status == 200


def test_those_who_wait_for_the_facts_of_a_file_share_one_question() -> None:
    world = World(SIZES)

    async def several() -> list[int]:
        asking = [
            world.router(Request("GET", FILE, authority="router.example", client=f"198.0.1.{n}"))
            for n in range(20)
        ]
        return [response.status for response in await asyncio.gather(*asking)]

    assert asyncio.run(several()) == [302] * 20
    assert world.behind.asked == [("HEAD", FILE)]


# -- complaints ------------------------------------------------------------------------------------


def test_a_node_complained_of_is_left_out_and_the_complaint_is_told() -> None:
    world = World(SIZES)
    response = world.ask(f"{FILE}?exclude=paris")
    assert where(response) == "tokyo" or where(response) == "denver"
    assert "exclude" not in response.headers.get("Location")
    assert world.routing.complaints == [("198.0.1.0/24", "paris")]


def test_who_has_complained_is_not_sent_there_for_anything_else_and_others_are() -> None:
    other = "/files/other.bin"
    world = World(SIZES | {other: 9 * MIB})
    first = where(world.ask(f"{FILE}?exclude=paris"))
    assert where(world.ask(other)) == first != "paris"
    listed = world.ask(other, fields={"Accept": "application/json"})
    assert b'"node":"paris"' not in listed.body.data.partition(b'"refused"')[0]  # type: ignore[union-attr]
    assert where(world.ask(other, "paris")) == "paris"


def test_who_only_seems_to_complain_is_sent_elsewhere_once() -> None:
    """Many share one address, and two that ask for one file look like one that was not served."""
    other = "/files/other.bin"
    world = World(SIZES | {other: 9 * MIB})
    world.ask(FILE)
    world.now += 3
    assert where(world.ask(FILE)) != "paris"
    assert where(world.ask(other)) == "paris"


def test_a_parameter_that_names_no_node_is_the_files_own() -> None:
    world = World({f"{FILE}?exclude=spam": 9 * MIB})
    assert world.ask(f"{FILE}?exclude=spam").headers.get("Location").endswith("?exclude=spam")
    assert world.routing.complaints == []


def test_if_all_are_complained_of_one_is_better_than_none() -> None:
    world = World(SIZES)
    assert where(world.ask(f"{FILE}?exclude=paris,tokyo,denver")) == "paris"


def test_who_asks_again_after_a_moment_is_sent_elsewhere() -> None:
    world = World(SIZES)
    assert where(world.ask(FILE)) == "paris"
    world.now += 3
    assert where(world.ask(FILE)) != "paris"
    assert world.routing.complaints == [("198.0.1.0/24", "paris")]
    world.now += 3
    world.ask(FILE)
    assert len(world.routing.complaints) == 1


def test_many_clients_behind_one_address_complain_of_nothing() -> None:
    world = World(SIZES)
    for _ in range(6):
        assert where(world.ask(FILE)) == "paris"
        world.now += 0.4
    assert world.routing.complaints == []


@pytest.mark.parametrize("seconds", [3, 20])
def test_parts_asked_for_one_by_one_and_later_asks_complain_of_nothing(seconds: int) -> None:
    world = World(SIZES)
    world.ask(FILE)
    world.now += seconds
    fields = {"Range": "bytes=0-1"} if seconds < 10 else {}
    assert where(world.ask(FILE, fields=fields)) == "paris"
    assert world.routing.complaints == []


# -- where nobody can be sent ----------------------------------------------------------------------


def test_without_a_node_it_says_when_to_ask_again() -> None:
    world = World(SIZES, snapshot=Snapshot(()))
    response = world.ask(FILE)
    assert isinstance(response.body, BytesBody)
    assert (response.status, response.headers.get("Retry-After")) == (503, "10")
    assert response.body.data == b"no node may serve; ask again\n"


def test_another_map_is_used_at_once() -> None:
    world = World(SIZES)
    assert where(world.ask(FILE)) == "paris"
    nodes = tuple(
        replace(one, state=NodeState.DOWN) if one.name == "paris" else one
        for one in world.routing.snapshot.nodes
    )
    world.routing.change(replace(world.routing.snapshot, nodes=nodes, generation=2))
    assert where(world.ask(FILE)) != "paris"
    assert where(world.ask(FILE, "sydney")) == "tokyo"


def test_a_map_that_says_the_same_changes_no_answer() -> None:
    world = World(SIZES)
    first = world.ask(FILE)
    world.routing.change(replace(world.routing.snapshot, generation=2, made_at=NOW + 10))
    world.now += 10
    assert world.ask(FILE, "paris").headers is first.headers, "clients of one way share a redirect"
    full = tuple(replace(one, utilisation=0.2) for one in world.routing.snapshot.nodes)
    world.routing.change(replace(world.routing.snapshot, nodes=full, generation=3))
    world.now += 60
    again = world.ask(FILE)
    assert again.headers == first.headers
    assert again.headers is not first.headers


def test_an_old_map_is_used_and_said_to_be_old() -> None:
    world = World(SIZES)
    world.now += 3600
    response = world.ask(FILE)
    assert (response.status, response.headers.get("X-Edge-Map")) == (302, "old; age=3600")


def test_clients_of_other_countries_go_to_the_original_url() -> None:
    rule = coverage([], countries=["FR"], elsewhere=Elsewhere.ORIGIN)
    nodes = (node("paris"),)
    world = World(
        SIZES,
        snapshot=Snapshot(nodes, coverage=rule),
        originals={FILE: "https://hub.example/acme/m/resolve/main/weights.bin"},
    )
    response = world.ask(FILE)
    assert (response.status, response.headers.get("Location")) == (
        *(302, "https://hub.example/acme/m/resolve/main/weights.bin"),
    )
    assert where(world.ask(FILE, "paris")) == "paris"
    # A token would be lost on the way, and where the origin is unknown somebody else has to answer.
    assert world.ask(FILE, fields={"Authorization": "Bearer x"}).status == 200
    assert world.ask("/pypi/simple/x/").status == 200


@dataclass(frozen=True, slots=True)
class Content:
    length: int | None

    async def __aiter__(self):  # type: ignore[no-untyped-def]
        yield b""


@pytest.mark.parametrize(
    ("size", "fields", "status"),
    [(50 * MIB, {}, 307), (10, {}, 200), (None, {}, 200), (50 * MIB, {"Authorization": "x"}, 200)],
)
def test_large_content_goes_straight_to_a_node_by_the_method_it_came_with(
    size: int | None, fields: dict[str, str], status: int
) -> None:
    response = World({}).ask("/files/up", method="PUT", body=Content(size), fields=fields)
    assert response.status == status


# -- inside a node ---------------------------------------------------------------------------------


def inside(own: str, **changes: object) -> Router:
    return Router(enabled=True, own=own, duplicates=0, **changes)  # type: ignore[arg-type]


def test_inside_a_node_only_who_is_clearly_nearer_elsewhere_is_sent_there() -> None:
    world = World(SIZES, settings=inside("paris"))
    assert world.ask(FILE, "berlin").status == 200
    assert where(world.ask(FILE, "sydney")) == "tokyo"
    assert where(World(SIZES, settings=inside("paris", gain=10.0)).ask(FILE, "sydney")) == ""


def test_inside_a_node_nobody_is_asked_for_a_size_that_does_not_matter() -> None:
    world = World(SIZES, settings=inside("paris"))
    world.ask(FILE, "berlin")
    world.ask(SMALL, "berlin")
    assert world.behind.asked == [("GET", FILE), ("GET", SMALL)]
    world.ask(WHEEL, "sydney")
    assert world.behind.asked[2:] == [("HEAD", WHEEL)]


def test_inside_a_node_that_is_alone_everything_is_answered() -> None:
    assert World(SIZES, settings=inside("paris"), snapshot=Snapshot(())).ask(FILE).status == 200


def test_a_node_that_drains_sends_its_clients_on() -> None:
    nodes = (node("paris", state=NodeState.DRAINING), node("tokyo"))
    world = World(SIZES, settings=inside("paris"), snapshot=Snapshot(nodes))
    assert where(world.ask(FILE)) == "tokyo"


def test_over_tls_nobody_is_sent_to_a_node_without() -> None:
    nodes = (node("paris"), replace(node("tokyo"), scheme="https", url="https://tokyo.example"))
    world = World(SIZES, snapshot=Snapshot(nodes))
    assert world.ask(FILE, scheme="https").headers.get("Location").startswith("https://tokyo.example/")


# -- marks and signatures --------------------------------------------------------------------------


def test_where_nodes_share_a_secret_urls_bear_a_mark() -> None:
    world = World(SIZES, secret=SECRET)
    location = world.ask("/files/a?b=%20&c").headers.get("Location")
    assert world.signer is not None
    arrival = world.signer.arrived(location.removeprefix("http://paris.example"), "", NOW)
    assert (arrival.target, arrival.came.value, arrival.node) == ("/files/a?b=%20&c", "marked", "paris")


def test_a_private_file_is_signed_for_who_is_permitted_behind_us() -> None:
    world = World(SIZES, settings=Router(private=["/hf/acme/"], duplicates=0), secret=SECRET)
    token = {"Authorization": "Bearer hf_x"}
    response = world.ask(FILE, fields=token)
    assert world.behind.asked == [("HEAD", FILE)]
    assert world.signer is not None
    target = response.headers.get("Location").removeprefix("http://paris.example")
    assert world.signer.arrived(target, "198.0.1.0/24", NOW).came.value == "signed"
    assert world.signer.arrived(target, "198.0.2.0/24", NOW).came.value == "forged"
    assert world.signer.arrived(target, "198.0.1.0/24", NOW + 301).came.value == "forged"
    assert world.ask(SMALL, fields=token).status == 200
    assert world.ask(WHEEL, fields=token).status == 200


# -- lists -----------------------------------------------------------------------------------------


def test_who_wants_a_list_gets_all_nodes_in_their_order() -> None:
    world = World(SIZES)
    told = world.ask(FILE, fields={"Accept": "application/json"})
    assert isinstance(told.body, BytesBody)
    listed = orjson.loads(told.body.data)
    assert [one["node"] for one in listed["nodes"]] == ["paris", "tokyo", "denver"] or (
        listed["nodes"][0]["node"] == "paris"
    )
    assert listed["size_bytes"] == 50 * MIB
    same = world.ask(f"/route?url={FILE}")
    assert isinstance(same.body, BytesBody)
    assert orjson.loads(same.body.data)["nodes"] == listed["nodes"]


@pytest.mark.parametrize(
    "query",
    [
        *("", "url=", "url=//evil.example/f", "url=http://evil.example/f", "url=f", "url=/f%0d%0ax"),
        *(f"url={FILE}&format=xml", "url=http://[/f"),
    ],
)
def test_a_list_is_given_of_files_here_only(query: str) -> None:
    assert World(SIZES).ask(f"/route?{query}").status == 400


def test_a_whole_url_of_ours_is_understood() -> None:
    assert World(SIZES).ask(f"/route?url=http%3A%2F%2Frouter.example{FILE}").status == 200


def test_duplicates_and_the_metalink_are_named_on_the_redirect() -> None:
    world = World(SIZES, settings=Router())
    links = world.ask(FILE).headers.all("Link")
    assert [re.findall(r"pri=([0-9])", link) for link in links] == [["1"], ["2"], ["3"], []]
    assert "rel=describedby" in links[-1]
    document = world.ask(FILE, fields={"Accept": "application/metalink4+xml"})
    assert isinstance(document.body, BytesBody)
    assert document.body.data.count(b"<url") == 3


# -- nobody's word takes a client anywhere else -----------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        *("//evil.example/f", "/files//evil.example/f", "/files/@evil.example/f", "/files/%0d%0aX: y"),
        *("/files/..//evil.example", "/files/?url=http://evil.example", "/files/f?exclude=evil.example"),
    ],
)
@pytest.mark.parametrize("authority", ["router.example", "evil.example", ""])
def test_clients_are_sent_to_nodes_of_the_configuration_only(target: str, authority: str) -> None:
    world = World({target: 9 * MIB})
    request = Request("GET", target, authority=authority, client="198.0.1.7")

    async def asked() -> Response:
        return await world.router(request)

    location = asyncio.run(asked()).headers.get("Location")
    assert location == "" or location == f"http://paris.example{target}"
    assert "\r" not in location


def test_tables_are_bounded() -> None:
    world = World(SIZES, settings=Router(facts=4, duplicates=0))
    for number in range(20):
        world.behind.sizes[f"/files/{number}"] = 9 * MIB
        world.ask(f"/files/{number}")
    known = KnownFiles(4, 60.0, lambda: NOW)
    assert len(world.router._sent) == 1
    assert len(world.router._known) == len(known) + 4


def test_an_answer_that_depends_on_the_client_is_not_repeated_to_others() -> None:
    world = World(SIZES, settings=inside("paris"))
    assert world.ask(FILE, "berlin").reuse is None
    assert world.ask(FILE, "berlin", fields={"X": "y"}).headers == Headers(
        (("Content-Type", "application/octet-stream"),)
    )
