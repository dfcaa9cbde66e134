from __future__ import annotations

import pytest

from edgeproxy.errors import RequestError
from edgeproxy.message import Headers
from edgeproxy.policy.hop_by_hop import check_nominations, end_to_end


def test_hop_by_hop_and_nominated_fields_do_not_travel() -> None:
    headers = Headers(
        [("Connection", "close, X-A"), ("x-a", "1"), ("TE", "trailers"), ("Upgrade", "h2c"), ("B", "2")]
    )
    assert end_to_end(headers).pairs == (("B", "2"),)


def test_nobody_nominates_away_what_caching_rests_on() -> None:
    headers = Headers([("Connection", "Cache-Control, Set-Cookie, Vary"), ("Cache-Control", "no-store")])
    assert end_to_end(headers).pairs == (("Cache-Control", "no-store"),)


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Transfer-Encoding", "Cache-Control", "Authorization", "COOKIE", "Via"],
)
def test_a_request_that_nominates_a_needed_field_is_refused(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_nominations(Headers([("Connection", "keep-alive"), ("Connection", f"x ,{name}")]))
    assert caught.value.status == 400


def test_ordinary_nominations_are_fine() -> None:
    check_nominations(Headers([("Connection", "keep-alive, , X-Anything")]))
