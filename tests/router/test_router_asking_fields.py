import pytest

from edgeproxy.message import Headers
from edgeproxy.router.asking_fields import complained_of, family_of, has_credentials, is_common

NODES = {"paris", "tokyo"}


@pytest.mark.parametrize(
    ("target", "left", "nodes"),
    [
        ("/f?exclude=paris", "/f", {"paris"}),
        ("/f?a=1&exclude=paris,tokyo&b", "/f?a=1&b", {"paris", "tokyo"}),
        ("/f?&exclude=paris", "/f?", {"paris"}),
        ("/f?exclude=paris&exclude=tokyo", "/f", {"paris", "tokyo"}),
        ("/f?exclude=spam", "/f?exclude=spam", set()),
        ("/f?exclude=paris,spam", "/f?exclude=paris,spam", set()),
        ("/f?exclude=", "/f?exclude=", set()),
        ("/f?xexclude=paris", "/f?xexclude=paris", set()),
        ("/exclude=paris", "/exclude=paris", set()),
        ("/f?", "/f?", set()),
    ],
)
def test_a_complaint_is_taken_out_and_everything_else_stays(target: str, left: str, nodes: set[str]) -> None:
    assert complained_of(target, NODES) == (left, nodes)


@pytest.mark.parametrize(
    ("address", "family"), [("192.0.2.1", 4), ("2001:db8::1", 6), ("::ffff:192.0.2.1", 4), ("", 0)]
)
def test_the_family_is_that_of_the_way_here(address: str, family: int) -> None:
    assert family_of(address) == family


@pytest.mark.parametrize(
    ("fields", "credentials", "common"),
    [
        ((), False, True),
        ((("authorization", "x"),), True, False),
        ((("COOKIE", "x"),), True, False),
        ((("Range", "bytes=0-1"),), False, False),
        ((("Accept", "*/*"),), False, True),
    ],
)
def test_who_asks_for_itself_alone_is_known_by_its_fields(
    fields: tuple[tuple[str, str], ...], credentials: bool, common: bool
) -> None:
    assert (has_credentials(Headers(fields)), is_common(Headers(fields))) == (credentials, common)
