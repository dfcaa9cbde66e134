import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.address import parse_address
from edgeproxy.admin.guard import Guard


def guard(listen: str = "127.0.0.1:8081", token: str = "", names: tuple[str, ...] = ()) -> Guard:
    return Guard.of(token, parse_address(listen), names, "edge-1")


def refused(
    the: Guard,
    *,
    host: str = "127.0.0.1:8081",
    method: str = "GET",
    path: str = "/metrics",
    token: str | None = None,
    origin: str | None = None,
    fetch_site: str = "",
) -> int:
    refusal = the.refusal(
        method,
        path,
        [host],
        [] if token is None else [token],
        [] if origin is None else [origin],
        fetch_site,
    )
    return refusal.status if refusal else 0


@pytest.mark.parametrize(
    ("listen", "host", "status"),
    [
        ("127.0.0.1:8081", "127.0.0.1:8081", 0),
        ("127.0.0.1:8081", "localhost:9999", 0),
        ("127.0.0.1:8081", "LOCALHOST", 0),
        ("127.0.0.1:8081", "[::1]:8081", 0),
        ("127.0.0.1:8081", "attacker.example", 403),
        ("127.0.0.1:8081", "localhost.attacker.example", 403),
        ("127.0.0.1:8081", "10.0.0.1", 403),
        ("127.0.0.1:8081", "edge-1", 403),
        ("127.0.0.1:8081", "", 403),
        ("127.0.0.1:8081", "localhost:80\n", 403),
        ("127.0.0.1:8081", "localhost@attacker.example", 403),
        ("127.0.0.1:8081", "ops.example:80", 0),
        ("10.1.2.3:8081", "10.1.2.3:8081", 0),
        ("10.1.2.3:8081", "10.1.2.4:8081", 403),
        ("0.0.0.0:8081", "10.1.2.3:8081", 0),
        ("0.0.0.0:8081", "[fd00::1]:8081", 0),
        ("0.0.0.0:8081", "edge-1:8081", 0),
        ("0.0.0.0:8081", "attacker.example:8081", 403),
        ("unix:/run/admin", "localhost", 0),
    ],
)
def test_only_hosts_of_this_listener_are_known(listen: str, host: str, status: int) -> None:
    assert refused(guard(listen, names=("ops.example:80",)), host=host) == status


def test_two_hosts_or_none_are_refused() -> None:
    for hosts in ([], ["localhost", "localhost"]):
        refusal = guard().refusal("GET", "/readyz", hosts, [], [], "")
        assert refusal is not None
        assert refusal.status == 403


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("Bearer right", 0),
        ("bearer right", 0),
        ("Bearer wrong", 401),
        ("Bearer right ", 401),
        ("Bearer", 401),
        ("Basic right", 401),
        ("right", 401),
        ("", 401),
        (None, 401),
        ("Bearer r\udcffght", 401),
    ],
)
def test_a_token_that_is_set_must_be_sent(sent: str | None, status: int) -> None:
    the = guard(token="right")
    assert refused(the, token=sent) == status
    assert [refused(the, token=sent, path=path) for path in ("/healthz", "/readyz")] == [0, 0]
    assert refused(guard(), token=sent) == 0


@pytest.mark.parametrize(
    ("origin", "fetch_site", "status"),
    [
        (None, "", 0),
        ("http://127.0.0.1:8081", "same-origin", 0),
        ("http://127.0.0.1:8081", "", 0),
        ("http://127.0.0.1", "", 403),
        ("https://127.0.0.1:8081", "", 403),
        ("http://attacker.example", "", 403),
        ("null", "", 403),
        ("", "", 403),
        (None, "cross-site", 403),
        (None, "same-site", 403),
    ],
)
def test_a_change_is_taken_from_the_same_origin_only(
    origin: str | None, fetch_site: str, status: int
) -> None:
    assert refused(guard(), method="POST", origin=origin, fetch_site=fetch_site) == status
    assert refused(guard(), method="GET", origin=origin, fetch_site=fetch_site) == 0


@given(st.text(max_size=60))
def test_no_host_is_taken_that_is_not_loopback_or_listed(host: str) -> None:
    if refused(guard("10.1.2.3:8081"), host=host) == 0:
        name = host.lower().rpartition(":")[0] if host.count(":") == 1 else host.lower()
        assert name in ("localhost", "10.1.2.3", "[::1]") or name.startswith(("127.", "["))
