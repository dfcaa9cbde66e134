from dataclasses import replace

from router_world import NOW, client_at, node

from edgeproxy.message import BytesBody
from edgeproxy.router.decide import decide
from edgeproxy.router.file_facts import NOTHING, FileFacts
from edgeproxy.router.hop import Came, Signer
from edgeproxy.router.redirects import Redirects
from edgeproxy.router.snapshot import RouteObject, Snapshot

SIGNER = Signer("s" * 32)
DECISION = decide(client_at("berlin"), RouteObject("k"), Snapshot((node("paris"), node("tokyo"))), NOW)


def redirects(signer: Signer | None = None, duplicates: int = 0) -> Redirects:
    return Redirects(signer, duplicates=duplicates, endpoint="/route", retry_after=2.5)


def test_a_client_is_sent_to_the_first_and_told_of_the_others() -> None:
    response = redirects(duplicates=1).to_node(DECISION, "/a", FileFacts(5, "", (("ETag", '"e"'),)))
    assert response.status == 302
    assert response.headers.pairs[:3] == (
        ("Location", "http://paris.example/a"),
        ("Cache-Control", "no-store"),
        ("ETag", '"e"'),
    )
    assert len(response.headers.all("Link")) == 3
    assert (response.outcome.site, response.outcome.source) == ("route", "paris")


def test_nothing_is_said_of_copies_of_what_is_not_known() -> None:
    assert redirects(duplicates=1).to_node(DECISION, "/a", NOTHING).headers.all("Link") == ()


def test_a_signed_url_is_for_one_file_one_node_one_network() -> None:
    one = DECISION.ranked[0]
    response = redirects(SIGNER).signed(one, "/a?b", NOTHING, "192.0.2.0/24", NOW + 9)
    target = response.headers.get("Location").removeprefix("http://paris.example")
    assert SIGNER.arrived(target, "192.0.2.0/24", NOW).came is Came.SIGNED


def test_an_old_map_is_said_to_be_old() -> None:
    old = redirects().to_node(replace(DECISION, is_old=True), "/a", NOTHING, map_age=12.3)
    assert old.headers.get("X-Edge-Map") == "old; age=12"


def test_nobody_is_sent_nowhere() -> None:
    response = redirects().nobody(decide(client_at("berlin"), None, Snapshot(()), NOW))
    assert isinstance(response.body, BytesBody)
    assert (response.status, response.headers.get("Retry-After"), response.body.data.count(b"\n")) == (
        503,
        "3",
        1,
    )


def test_to_the_origin_the_method_can_be_kept() -> None:
    response = redirects().to_origin("https://hub.example/a", "why", status=307)
    assert (response.status, response.headers.get("Location")) == (307, "https://hub.example/a")
