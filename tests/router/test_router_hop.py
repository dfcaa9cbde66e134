import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.router.hop import KEY, MARK, Arrival, Came, Signer, with_parameter

SIGNER = Signer("0123456789abcdef" * 2)
NOW = 1_700_000_000.0
NET = "192.0.2.0/24"

targets = st.builds(
    lambda path, query: f"/{path}" if query is None else f"/{path}?{query}",
    st.text("ab/%.~", max_size=8),
    st.none() | st.text("ab=&?%/", max_size=8),
)


@given(targets)
def test_a_target_comes_back_byte_for_byte(target: str) -> None:
    marked = with_parameter(target, SIGNER.mark("paris"))
    assert SIGNER.arrived(marked, NET, NOW) == Arrival(target, Came.MARKED, "paris")
    signed = with_parameter(target, SIGNER.key(target, "paris", NET, NOW + 60))
    assert SIGNER.arrived(signed, NET, NOW) == Arrival(target, Came.SIGNED, "paris")
    assert SIGNER.arrived(target, NET, NOW) == Arrival(target)


@given(st.text(max_size=60))
def test_no_text_is_taken_for_a_mark_or_breaks_anything(text: str) -> None:
    for name in (MARK, KEY):
        assert SIGNER.arrived(f"/f?{name}={text}", NET, NOW).came is Came.FORGED


def signed(target: str = "/f", node: str = "paris", net: str = NET, until: float = NOW + 60) -> str:
    return SIGNER.key(target, node, net, until)


@pytest.mark.parametrize(
    "target",
    [
        f"/f?{MARK}=paris.{'A' * 22}",
        f"/f?{SIGNER.mark('paris').replace('paris', 'tokyo')}",
        f"/f?{SIGNER.mark('paris')}&{SIGNER.mark('paris')}",
        f"/f?{Signer('x' * 32).mark('paris')}",
        f"/other?{signed()}",
        f"/f?a&{signed()}",
        f"/f?{signed(net='198.51.100.0/24')}",
        f"/f?{signed(until=NOW - 1)}",
        f"/f?{signed().replace('paris', 'tokyo')}",
        f"/f?{SIGNER.mark('paris')}&{signed()}",
    ],
)
def test_what_was_made_for_something_else_is_forged(target: str) -> None:
    arrival = SIGNER.arrived(target, NET, NOW)
    assert arrival.came is Came.FORGED
    assert arrival.why
    assert MARK not in arrival.target
    assert KEY not in arrival.target


def test_a_mark_before_other_parameters_is_found() -> None:
    assert SIGNER.arrived(f"/f?{SIGNER.mark('a')}&b=1", NET, NOW) == Arrival("/f?b=1", Came.MARKED, "a")


def test_a_mark_says_nothing_of_the_secret() -> None:
    assert "0123456789abcdef" not in SIGNER.mark("paris") + signed()
