from __future__ import annotations

from typing import Any

import pytest

from edgeproxy.config import Limits
from edgeproxy.errors import RequestError
from edgeproxy.serving.head import Head, parse_head
from edgeproxy.serving.http2_head import Malformed, check_trailers, parse_fields

GET: dict[bytes, bytes] = {b":method": b"GET", b":scheme": b"http", b":authority": b"a", b":path": b"/"}


def parse(*more: tuple[bytes, bytes], ended: bool = True, without: bytes = b"", **pseudo: bytes) -> Head:
    first = {**GET, **{b":" + name.encode(): value for name, value in pseudo.items()}}
    pairs = [(name, value) for name, value in first.items() if name != without]
    return parse_fields([*pairs, *more], Limits(), "http", ended=ended)


MALFORMED: dict[str, Any] = {
    # RFC 9113 section 8.3: pseudo-fields
    "no method": {"without": b":method"},
    "no scheme": {"without": b":scheme"},
    "no path": {"without": b":path"},
    "empty path": {"path": b""},
    "path without slash": {"path": b"a"},
    "absolute path": {"path": b"http://a/"},
    "path with space": {"path": b"/a b"},
    "path with a line break": {"path": b"/ HTTP/1.1\r\nHost: b"},
    "path with fragment": {"path": b"/#a"},
    "path beyond ASCII": {"path": b"/\xe9"},
    "asterisk for GET": {"path": b"*"},
    "method with space": {"method": b"GET /x"},
    "empty method": {"method": b""},
    "scheme with a line break": {"scheme": b"http\r\nx: y"},
    "response pseudo-field": {"more": [(b":status", b"200")]},
    "unknown pseudo-field": {"more": [(b":protocol", b"websocket")]},
    "method twice": {"more": [(b":method", b"GET")]},
    "path twice": {"more": [(b":path", b"/b")]},
    "authority twice": {"more": [(b":authority", b"b")]},
    "pseudo-field after a field": {"more": [(b"x", b"y"), (b":path", b"/b")]},
    "CONNECT with path": {"method": b"CONNECT"},
    # section 8.2: fields
    "upper case": {"more": [(b"Accept", b"x")]},
    "empty name": {"more": [(b"", b"x")]},
    "colon in a name": {"more": [(b"x:y", b"z")]},
    "space in a name": {"more": [(b"x y", b"z")]},
    "line break in a name": {"more": [(b"x\r\ny", b"z")]},
    "CR LF in a value": {"more": [(b"x", b"y\r\nz: a")]},
    "LF in a value": {"more": [(b"x", b"y\nz")]},
    "NUL in a value": {"more": [(b"x", b"y\0")]},
    "space before a value": {"more": [(b"x", b" y")]},
    "tab after a value": {"more": [(b"x", b"y\t")]},
    "connection": {"more": [(b"connection", b"close")]},
    "proxy-connection": {"more": [(b"proxy-connection", b"close")]},
    "keep-alive": {"more": [(b"keep-alive", b"1")]},
    "transfer-encoding": {"more": [(b"transfer-encoding", b"chunked")]},
    "upgrade": {"more": [(b"upgrade", b"h2c")]},
    "te": {"more": [(b"te", b"gzip")]},
    "te with trailers and more": {"more": [(b"te", b"trailers, gzip")]},
    # section 8.1.1: content
    "content missing": {"more": [(b"content-length", b"1")]},
    "lengths": {"more": [(b"content-length", b"1"), (b"content-length", b"1")], "ended": False},
    "signed length": {"more": [(b"content-length", b"+1")], "ended": False},
    "length list": {"more": [(b"content-length", b"1, 1")], "ended": False},
    "huge length": {"more": [(b"content-length", b"9" * 19)], "ended": False},
    # section 8.3.1: authority and Host
    "Host of another": {"more": [(b"host", b"b")]},
    "Host twice": {"more": [(b"host", b"a"), (b"host", b"a")]},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_is_malformed(name: str) -> None:
    case = dict(MALFORMED[name])
    with pytest.raises(Malformed):
        parse(*case.pop("more", ()), **case)


@pytest.mark.parametrize(
    ("status", "case"),
    [
        (400, {"authority": b"user@a"}),
        (400, {"authority": b"a:99999"}),
        (400, {"authority": b"a/b"}),
        (400, {"without": b":authority"}),
        (414, {"path": b"/" + b"a" * (17 << 10)}),
        (417, {"more": [(b"expect", b"x")]}),
        (421, {"scheme": b"https"}),
        (431, {"more": [(b"x", b"y" * (33 << 10))]}),
        (431, {"more": [(b"x%d" % number, b"y") for number in range(129)]}),
    ],
)
def test_what_is_not_acceptable_gets_the_status_of_http_1(status: int, case: dict[str, Any]) -> None:
    case = dict(case)
    more = case.pop("more", ())
    with pytest.raises(RequestError) as error:
        parse(*more, **case)
    assert error.value.status == status


def test_connect_names_a_host_and_a_port_and_has_no_content() -> None:
    def connect(*more: tuple[bytes, bytes], authority: bytes = b"A.example:1") -> Head:
        pairs = [(b":method", b"CONNECT"), (b":authority", authority), *more]
        return parse_fields(pairs, Limits(), "http", ended=False)

    head = connect((b"user-agent", b"x"))
    assert (head.method, head.target, head.authority, head.length) == (
        "CONNECT",
        *["a.example:1"] * 2,
        0,
    )
    assert head.headers.get("user-agent") == "x"
    for case in ({"authority": b"a.example"}, {"authority": b"[::1]"}, {"authority": b"u@a:1"}):
        with pytest.raises(RequestError) as error:
            connect(**case)
        assert error.value.status == 400
    with pytest.raises(RequestError):
        connect((b"content-length", b"1"))


def test_the_same_request_means_the_same_as_over_http_1() -> None:
    ours = parse((b"accept", b"x"), (b"x-y", b"\xe9"), path=b"/a?b", authority=b"A.example:80")
    theirs = parse_head(
        b"GET /a?b HTTP/1.1\r\nhost: A.example:80\r\naccept: x\r\nx-y: \xe9\r\n\r\n", Limits()
    )
    assert (ours.method, ours.target, ours.authority) == (theirs.method, theirs.target, theirs.authority)
    assert ours.headers.pairs[1:] == theirs.headers.pairs[1:]
    assert ours.headers.get("host") == "a.example:80"
    assert ours.memorable
    assert theirs.memorable
    assert ours.version == "2"


def test_cookies_are_joined_and_host_stands_in_for_the_authority() -> None:
    head = parse((b"cookie", b"a=1"), (b"host", b"b"), (b"cookie", b"c=2"), without=b":authority")
    assert head.headers.pairs == (("host", "b"), ("cookie", "a=1; c=2"))
    assert head.authority == "b"
    assert not head.memorable


def test_lengths_and_expectations_are_told() -> None:
    assert parse(method=b"POST", ended=False).length is None
    assert parse((b"content-length", b"7"), method=b"POST", ended=False).length == 7
    assert parse((b"content-length", b"0"), method=b"POST").length == 0
    assert parse((b"expect", b"100-Continue"), method=b"POST", ended=False).expects_continue
    assert parse((b"te", b"trailers")).headers.get("te") == "trailers"
    assert parse(method=b"OPTIONS", path=b"*", without=b":authority").target == "*"


def test_any_scheme_is_borne_from_who_stands_for_others() -> None:
    pairs = [*{**GET, b":scheme": b"https"}.items()]
    assert parse_fields(pairs, Limits(), "http", ended=True, any_scheme=True).target == "/"


@pytest.mark.parametrize(
    "pairs",
    [[(b":path", b"/")], [(b"X", b"y")], [(b"connection", b"x")], [(b"x", b"a\nb")], [(b"x", b"y" * 5000)]],
)
def test_malformed_trailers_are_refused(pairs: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Malformed):
        check_trailers(pairs, Limits())


def test_trailers_are_fields() -> None:
    assert check_trailers([(b"grpc-status", b"0")], Limits()).pairs == (("grpc-status", "0"),)
