from dataclasses import dataclass, field
from typing import Any

import pytest

from edgeproxy.cli.warm_targets import Place, parse_target
from edgeproxy.cli.warm_walk import ATTEMPTS, Ended, NotWarmed, Wanted, walking

COMMIT = "c0" * 20


@dataclass
class Notes:
    """A watcher that writes down what it is told."""

    moves: list[tuple[str, int]] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    most: int = 0

    def begun(self, wanted: Wanted) -> None:
        self.running.add(wanted.name)
        self.most = max(self.most, len(self.running))

    def moved(self, wanted: Wanted, received_bytes: int, size: int | None) -> None:
        self.moves.append((wanted.name, received_bytes))

    def ended(self, ended: Ended) -> None:
        self.running.remove(ended.wanted.name)


async def listed(node: Any, text: str = "hf:org/name", token: str = "") -> Any:
    target: Any = parse_target(text)
    async with walking(2, delay_seconds=0.0) as walk:
        return await walk.files(target, Place(f"{node.url}/hf"), token)


async def fetched(node: Any, *, jobs: int = 1, notes: Notes | None = None, **sizes: int | None) -> Any:
    """Fetch files by name ("_" for ".") with the size the listing said."""
    names = {name.replace("_", "."): size for name, size in sizes.items()}
    files = [Wanted(n, f"{node.url}/hf/org/name/resolve/{COMMIT}/{n}", size) for n, size in names.items()]
    async with walking(jobs, delay_seconds=0.0) as walk:
        return await walk.fetch(files, jobs, notes or Notes())


async def test_a_listing_is_followed_page_by_page_at_the_node_alone(hub_node: Any) -> None:
    hub_node.files = {f"folder {n}/ü.json": bytes(n) for n in range(5)}
    commit, files = await listed(hub_node)
    assert commit == COMMIT
    assert [(file.name, file.size) for file in files] == [(f"folder {n}/ü.json", n) for n in range(5)]
    assert files[1].url == f"{hub_node.url}/hf/org/name/resolve/{COMMIT}/folder%201/%C3%BC.json"
    assert len(hub_node.asked) == 4


async def test_a_commit_needs_no_question(hub_node: Any) -> None:
    hub_node.files = {"a": b"1"}
    await listed(hub_node, f"hf:org/name@{COMMIT}")
    assert hub_node.paths() == [f"/hf/api/models/org/name/tree/{COMMIT}?recursive=true&expand=false"]


async def test_the_token_goes_with_every_question(hub_node: Any) -> None:
    hub_node.files = {"a": b"1"}
    _, (file,) = await listed(hub_node, token="hf_secret")
    assert file.fields["Authorization"] == "Bearer hf_secret"
    assert {fields["Authorization"] for _, fields in hub_node.asked} == {"Bearer hf_secret"}


@pytest.mark.parametrize("sha", [None, "main", 7, "C0" * 20])
async def test_a_hub_that_names_no_commit_is_not_believed(hub_node: Any, sha: Any) -> None:
    hub_node.sha = sha
    with pytest.raises(NotWarmed, match="which commit"):
        await listed(hub_node)


async def test_a_repository_that_is_not_there_is_told_in_the_hubs_words(hub_node: Any) -> None:
    with pytest.raises(NotWarmed, match="404 Entry not found"):
        await listed(hub_node, "hf:org/other")


async def test_every_byte_is_read_and_none_is_compressed(hub_node: Any) -> None:
    hub_node.files = {"a.json": b"x" * 3_000_000, "b.json": b""}
    notes = Notes()
    results = await fetched(hub_node, notes=notes, a_json=3_000_000, b_json=0)
    assert [(r.received_bytes, r.error, r.was_there) for r in results] == [
        (3_000_000, "", False),
        (0, "", False),
    ]
    assert notes.moves[-1] == ("a.json", 3_000_000)
    assert {fields["Accept-Encoding"] for _, fields in hub_node.asked} == {"identity"}


async def test_no_more_files_at_a_time_than_said(hub_node: Any) -> None:
    hub_node.files = {f"{n}.x": b"1" for n in range(20)}
    files = {f"{n}_x": 1 for n in range(20)}
    notes = Notes()
    results = await fetched(hub_node, jobs=3, notes=notes, **files)
    assert len(results) == 20
    assert notes.most == 3
    assert notes.running == set()


@pytest.mark.parametrize(
    ("cache_status", "was_there"),
    [
        ("edge; hit; ttl=5", True),
        ("edge; hit", True),
        ('parent; fwd=miss, edge; hit; detail="a, b"', True),
        ("parent; hit, edge; fwd=uri-miss", False),
        ('edge; fwd=partial; detail="; hit"', False),
        ("", False),
    ],
)
async def test_what_came_from_the_store_was_there(hub_node: Any, cache_status: str, was_there: bool) -> None:
    hub_node.files, hub_node.cache_status = {"a.x": b"1"}, cache_status
    ((result),) = await fetched(hub_node, a_x=1)
    assert result.was_there is was_there


async def test_a_broken_answer_is_taken_up_where_it_broke(hub_node: Any) -> None:
    data = b"x" * 500_000
    hub_node.files, hub_node.cut = {"a.x": data}, {"a.x": 200_000}
    (result,) = await fetched(hub_node, a_x=len(data))
    assert (result.received_bytes, result.error) == (len(data), "")
    (_, first), (_, second) = hub_node.asked
    assert "Range" not in first
    assert (second["Range"], second["If-Range"]) == ("bytes=200000-", '"v1"')


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(hub_node: Any, status: int) -> None:
    hub_node.files, hub_node.refused = {"a.x": b"1"}, {"a.x": [status] * (ATTEMPTS - 1)}
    (result,) = await fetched(hub_node, a_x=1)
    assert result.error == ""
    assert len(hub_node.asked) == ATTEMPTS


async def test_tries_have_an_end(hub_node: Any) -> None:
    hub_node.files, hub_node.refused = {"a.x": b"1"}, {"a.x": [503] * 99}
    (result,) = await fetched(hub_node, a_x=1)
    assert result.error == "503 not now"
    assert len(hub_node.asked) == ATTEMPTS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 424])
async def test_a_refusal_is_final_and_keeps_nothing_else_back(hub_node: Any, status: int) -> None:
    hub_node.files, hub_node.refused = {"a.x": b"1", "b.x": b"2"}, {"a.x": [status]}
    results = await fetched(hub_node, a_x=1, b_x=1)
    assert [result.error for result in results] == [f"{status} not now", ""]
    assert len(hub_node.asked) == 2


async def test_a_file_of_another_size_than_listed_is_a_failure(hub_node: Any) -> None:
    hub_node.files = {"a.x": b"12345"}
    (result,) = await fetched(hub_node, a_x=6)
    assert result.error == "5 bytes came, 6 should have"


async def test_nobody_there_is_told_with_the_address(hub_node: Any) -> None:
    async with walking(1, delay_seconds=0.0) as walk:
        (result,) = await walk.fetch([Wanted("a", "http://127.0.0.1:1/a")], 1, Notes())
    assert result.error.startswith("no node answers at http://127.0.0.1:1: ")
