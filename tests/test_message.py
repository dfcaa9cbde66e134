import pytest

from edgeproxy.message import EMPTY, BytesBody, Headers, HeadOnly, Request

FIELDS = Headers([("Accept", "a"), ("ETag", '"x"'), ("accept", "b")])


def test_field_names_compare_without_case_and_keep_theirs() -> None:
    assert "etag" in FIELDS
    assert FIELDS.get("ETAG") == '"x"'
    assert FIELDS.pairs[2] == ("accept", "b")


def test_lines_of_one_field_are_joined_or_given_apart() -> None:
    assert FIELDS.get("Accept") == "a, b"
    assert FIELDS.all("ACCEPT") == ("a", "b")
    assert FIELDS.get("Via") == ""
    assert FIELDS.get("Via", "none") == "none"
    assert FIELDS.all("Via") == ()


def test_changes_make_copies() -> None:
    assert FIELDS.without(["ACCEPT"]).pairs == (("ETag", '"x"'),)
    assert FIELDS.adding([("Age", "1")]).pairs[-1] == ("Age", "1")
    assert FIELDS.replacing({"accept": "c", "ETag": None}).pairs == (("accept", "c"),)
    assert len(FIELDS) == 3


def test_headers_with_the_same_lines_are_equal() -> None:
    assert Headers([("A", "b")]) == Headers((("A", "b"),))
    assert hash(Headers([("A", "b")])) == hash(Headers([("A", "b")]))
    assert Headers([("A", "b")]) != Headers([("a", "b")])


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [("/a", "/a", None), ("/a?", "/a", ""), ("/a?b?c", "/a", "b?c"), ("*", "*", None)],
)
def test_a_target_is_path_and_query(target: str, path: str, query: str | None) -> None:
    request = Request("GET", target)
    assert (request.path, request.query) == (path, query)


async def test_bodies_in_memory_give_their_bytes_once() -> None:
    assert [part async for part in BytesBody(b"abc").parts()] == [b"abc"]
    assert [part async for part in EMPTY.parts()] == []
    assert [part async for part in HeadOnly(5).parts()] == []
    assert (BytesBody(b"abc").length, HeadOnly(5).length, HeadOnly(None).length) == (3, 5, None)
