import pytest

from edgeproxy.message import BytesBody, Headers, HeadOnly, Response
from edgeproxy.router.file_facts import NOTHING, FileFacts, KnownFiles, facts_of
from edgeproxy.router.snapshot import RouteObject

SHA = "ab" * 32


def answer(*pairs: tuple[str, str], status: int = 200, size: int | None = 10) -> Response:
    return Response(status, Headers(pairs), HeadOnly(size))


@pytest.mark.parametrize(
    ("response", "facts"),
    [
        (answer(), FileFacts(10)),
        (answer(size=None), FileFacts(-1)),
        (answer(("X-Linked-Size", "99")), FileFacts(99, "", (("X-Linked-Size", "99"),))),
        (answer(("X-Linked-Size", "1e9")), FileFacts(10, "", (("X-Linked-Size", "1e9"),))),
        (answer(("ETag", f'"{SHA}"')), FileFacts(10, SHA, (("ETag", f'"{SHA}"'),))),
        (answer(("ETag", f'"sha256-{SHA}"')), FileFacts(10, SHA, (("ETag", f'"sha256-{SHA}"'),))),
        (answer(("ETag", '"abc"'), ("Set-Cookie", "a=1")), FileFacts(10, "", (("ETag", '"abc"'),))),
        (answer(("Content-Type", "text/html; charset=utf-8")), NOTHING),
        (answer(("Content-Type", "application/vnd.pypi.simple.v1+json")), NOTHING),
        (answer(status=404), NOTHING),
        (answer(status=206), NOTHING),
        (answer(status=302), NOTHING),
        (Response(200, body=BytesBody(b"abc")), FileFacts(3)),
    ],
)
def test_facts_are_read_off_an_answer(response: Response, facts: FileFacts) -> None:
    assert facts_of(response) == facts


def test_an_object_goes_by_its_digest_where_that_is_known() -> None:
    assert FileFacts(10).asked("/a") == RouteObject("/a")
    assert FileFacts(9 << 20, SHA).asked("/a") == RouteObject(SHA, int(SHA[:16], 16), is_large=True)


def test_facts_are_kept_for_a_while_and_the_longest_known_leave_first() -> None:
    now = [0.0]
    known = KnownFiles(2, 60.0, lambda: now[0])
    for target in "abc":
        known.put(target, NOTHING)
    assert [known.get(target) for target in "abc"] == [None, NOTHING, NOTHING]
    now[0] = 61.0
    assert known.get("c") is None
    assert len(known) == 2
    none = KnownFiles(0, 60.0, lambda: 0.0)
    none.put("a", NOTHING)
    assert none.get("a") is None
