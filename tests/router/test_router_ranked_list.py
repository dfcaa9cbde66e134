import xml.etree.ElementTree as ElementTree

import orjson
import pytest
from router_world import NOW, client_at, node

from edgeproxy.message import BytesBody, Response
from edgeproxy.router.choice import Candidate
from edgeproxy.router.decide import decide
from edgeproxy.router.file_facts import NOTHING, FileFacts
from edgeproxy.router.ranked_list import described_by, json_list, link_fields, metalink
from edgeproxy.router.snapshot import RouteObject, Snapshot

SHA = "00" * 31 + "ff"
NODES = (node("paris", region="FR"), node("tokyo", region="asia"))
DECISION = decide(client_at("berlin"), RouteObject("k"), Snapshot(NODES), NOW)
PLACES: list[tuple[Candidate, str]] = [(one, f"{one.node.url}/a?b&c") for one in DECISION.ranked]
XML = "{urn:ietf:params:xml:ns:metalink}"


def content(response: Response) -> bytes:
    assert isinstance(response.body, BytesBody)
    return response.body.data


def test_link_fields_rank_the_copies_and_say_what_makes_them_copies() -> None:
    assert link_fields(PLACES, 3, SHA) == [
        ("Link", "<http://paris.example/a?b&c>; rel=duplicate; pri=1; geo=fr"),
        ("Link", "<http://tokyo.example/a?b&c>; rel=duplicate; pri=2"),
        ("Digest", "SHA-256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8="),
        ("Repr-Digest", "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=:"),
    ]
    assert link_fields(PLACES, 0, "") == link_fields(PLACES[:1], 3, "")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/m.bin", "m.bin"),
        ("/a/%2e%2e", "file"),
        ("/a/..%2Fpasswd", "..passwd"),
        ("/", "file"),
        ("/%22%0a", "file"),
    ],
)
def test_a_metalink_names_the_file_by_what_is_safe_to_write_to(path: str, name: str) -> None:
    document = ElementTree.fromstring(
        content(metalink(PLACES, path, FileFacts(5, SHA), "https://o.example/<&"))
    )
    file = document.find(f"{XML}file")
    assert file is not None
    assert file.get("name") == name
    assert [(found.text, found.get("priority")) for found in file.iter(f"{XML}url")] == [
        ("http://paris.example/a?b&c", "1"),
        ("http://tokyo.example/a?b&c", "2"),
        ("https://o.example/<&", "3"),
    ]
    assert [(found.tag.removeprefix(XML), found.text) for found in file][:2] == [("size", "5"), ("hash", SHA)]


def test_a_list_tells_the_whole_decision() -> None:
    response = json_list(
        client_at("berlin"),
        DECISION,
        PLACES,
        "/a?b&c",
        facts=NOTHING,
        origin="https://o.example",
        generation=7,
    )
    told = orjson.loads(content(response))
    assert [(one["node"], one["url"]) for one in told["nodes"]] == [
        ("paris", "http://paris.example/a?b&c"),
        ("tokyo", "http://tokyo.example/a?b&c"),
    ]
    assert (told["client"]["country"], told["map"]["generation"], "origin" in told) == ("DE", 7, False)
    assert response.headers.get("Cache-Control") == "no-store"


def test_the_metalink_of_a_file_can_be_found() -> None:
    name, value = described_by("/route", "/a?b&c")
    assert (name, value.partition(">")[0]) == ("Link", "</route?format=meta4&url=%2Fa%3Fb%26c")
