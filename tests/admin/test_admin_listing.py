from edgeproxy.admin.listing import listing_rows
from edgeproxy.policy.stored import StoredResponse
from edgeproxy.storage.store import Listed

STORED = StoredResponse(
    key="http://o/a",
    site="hf",
    status=200,
    fields=(),
    born=0.0,
    request_time=0.0,
    response_time=0.0,
    fresh_until=0.0,
    tags=("repo:models/a/b",),
    name="a",
    body="b1",
    body_bytes=100,
    digest="d",
)


def test_a_whole_body_holds_its_size_whatever_it_takes_on_disk() -> None:
    (row,) = listing_rows([Listed("http://o/a w1", STORED, 4096, True, 7.5)])
    assert row == {
        "key": "http://o/a",
        "site": "hf",
        "name": "a",
        "tags": ["repo:models/a/b"],
        "status": 200,
        "digest": "d",
        "body": "b1",
        "size_bytes": 100,
        "held_bytes": 100,
        "disk_bytes": 4096,
        "complete": True,
        "last_used": 7.5,
        "place": "http://o/a w1",
    }


def test_a_body_that_is_there_in_part_holds_its_parts() -> None:
    rows = listing_rows([Listed("x", STORED, 30, False, 0.0), Listed("y", STORED, 130, False, 0.0)])
    assert [(row["held_bytes"], row["complete"]) for row in rows] == [(30, False), (100, False)]
