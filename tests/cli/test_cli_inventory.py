from typing import Any

import pytest

from edgeproxy.cli.inventory import (
    Row,
    against_listing,
    files,
    place_table,
    places,
    revision_table,
    revisions,
    row_table,
)

A, B = "aa" * 20, "bb" * 20
HUB = "https://hub.example"


def file(path: str, *, repo: str = "models/org/name", commit: str = A, held: int = 10, **more: Any) -> Row:
    web = repo.removeprefix("models/")
    key = f"{HUB}/{web}/resolve/{commit}/{path}"
    tags = (f"repo:{repo}", f"commit:{commit}")
    return Row(key, path, tags, more.pop("size", 10), held, held == 10, more.pop("used", 100.0))


TREE = Row(f"{HUB}/api/models/org/name/tree/{A}", "org/name tree", ("repo:models/org/name", f"commit:{A}"))
PAGE = Row("https://index.example/simple/x/", "x", ("project:x",), 5, 5, True, 50.0)
ROWS = [
    file("config.json"),
    file("model.safetensors", held=4),
    file("config.json", commit=B, used=900.0),
    file("data.parquet", repo="datasets/org/name", used=200.0),
    TREE,
    PAGE,
]


def test_files_are_counted_by_repository_and_commit_the_latest_used_first() -> None:
    found = revisions(ROWS)
    assert [(r.repository, r.commit, t.files, t.complete, t.held_bytes) for r, t in found.items()] == [
        ("datasets/org/name", A, 1, 1, 10),
        ("org/name", B, 1, 1, 10),
        ("org/name", A, 2, 1, 14),
    ]


def test_what_is_said_about_a_commit_is_none_of_its_files() -> None:
    assert not TREE.is_file
    assert not PAGE.is_file
    assert revisions([TREE, PAGE]) == {}


@pytest.mark.parametrize(
    ("repository", "commit", "names"),
    [
        ("org/name", "", ["config.json", "model.safetensors", "config.json"]),
        ("org/name", "bbb", ["config.json"]),
        ("org/name", "cc", []),
        ("datasets/org/name", A, ["data.parquet"]),
        ("org/other", "", []),
    ],
)
def test_files_are_chosen_by_repository_and_the_beginning_of_a_commit(
    repository: str, commit: str, names: list[str]
) -> None:
    assert [row.name for row in files(ROWS, repository, commit)] == names


def test_a_listing_shows_what_is_not_stored() -> None:
    stored = files(ROWS, "org/name", "")
    found = against_listing(stored, [("config.json", 10), ("new.json", 7)], B)
    assert [(row.name, row.held_bytes, row.size_bytes, row.complete) for row in found] == [
        ("config.json", 10, 10, True),
        ("new.json", 0, 7, False),
    ]
    assert found[0].commit == B


def test_everything_is_counted_by_where_it_came_from() -> None:
    found = places(ROWS)
    assert {place: tally.files for place, tally in found.items()} == {
        HUB: 5,
        "https://index.example": 1,
    }


def test_tables_tell_shares_and_times() -> None:
    (first, *_) = revision_table(revisions(ROWS), 3_800.0)
    assert first == {
        "repository": "datasets/org/name",
        "revision": A[:12],
        "files": 1,
        "complete": 1,
        "held_bytes": 10,
        "size_bytes": 10,
        "held_ratio": 1.0,
        "used": "1 h ago",
    }
    assert [line["from"] for line in place_table(places(ROWS), 0.0)] == [HUB, "https://index.example"]
    lines = row_table(files(ROWS, "org/name", A), 130.0, keys=False)
    assert [(line["file"], line["held_ratio"], line["used"]) for line in lines] == [
        ("config.json", 1.0, "now"),
        ("model.safetensors", 0.4, "now"),
    ]
    assert "revision" not in lines[0]
    assert [line["revision"] for line in row_table(files(ROWS, "org/name", ""), 0.0, keys=False)] == [
        A[:12],
        A[:12],
        B[:12],
    ]
    assert row_table([PAGE], 0.0, keys=True)[0]["file"] == PAGE.key


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (0.0, "-"),
        (99_990.0, "now"),
        (99_000.0, "17 min ago"),
        (100_500.0, "now"),
        (100_000.0 - 86_400, "1 d ago"),
    ],
)
def test_times_are_told_as_people_do(used: float, said: str) -> None:
    assert row_table([Row("k", last_used=used)], 100_000.0, keys=True)[0]["used"] == said


def test_an_empty_body_is_all_there() -> None:
    assert row_table([Row("k")], 0.0, keys=True)[0]["held_ratio"] == 1.0
