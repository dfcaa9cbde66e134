from ipaddress import ip_address

import pytest

from edgeproxy.router.dns_cookies import CookieJar, Secrets

SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")
CLIENT = bytes.fromhex("2464c4abcf10c957")
ADDRESS = ip_address("198.51.100.100").packed
MADE = 1559731985


# RFC 9018, appendix A.
@pytest.mark.parametrize(
    ("secret", "client", "address", "now", "cookie"),
    [
        (
            "e5e973e5a6b2a43f48e7dc849e37bfcf",
            "2464c4abcf10c957",
            "198.51.100.100",
            1559731985,
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
        ),
        (
            "dd3bdf9344b678b185a6f5cb60fca715",
            "22681ab97d52c298",
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            1559741817,
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
        ),
        (
            "445536bcd2513298075a5d379663c962",
            "22681ab97d52c298",
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            1559741961,
            "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
        ),
    ],
)
def test_cookies_are_those_of_the_standard(
    secret: str, client: str, address: str, now: int, cookie: str
) -> None:
    made = Secrets((bytes.fromhex(secret),)).make(bytes.fromhex(client), ip_address(address).packed, now)
    assert made.hex() == cookie


@pytest.mark.parametrize(
    ("later", "good", "is_new"),
    [
        (0, True, False),
        (1800, True, False),
        (1801, True, True),
        (3600, True, True),
        (3601, False, True),
        (-300, True, False),
        (-301, False, True),
    ],
)
def test_a_cookie_lives_an_hour_and_is_renewed_after_half_of_it(later: int, good: bool, is_new: bool) -> None:
    jar = CookieJar(Secrets((SECRET,)))
    _, cookie = jar.reply(CLIENT, ADDRESS, MADE)
    for _ in range(2):  # remembered or not, it is judged alike
        found, reply = jar.reply(cookie, ADDRESS, MADE + later)
        assert (found, reply != cookie) == (good, is_new)
        assert reply[:8] == CLIENT


def test_a_cookie_is_good_for_its_address_only_and_as_a_whole() -> None:
    jar = CookieJar(Secrets((SECRET,)))
    proven, cookie = jar.reply(CLIENT, ADDRESS, MADE)
    assert not proven
    assert jar.reply(cookie, ADDRESS, MADE)[0]
    assert not jar.reply(cookie, ip_address("198.51.100.101").packed, MADE)[0]
    for at in range(len(cookie)):
        wrong = bytearray(cookie)
        wrong[at] ^= 1
        assert not jar.reply(bytes(wrong), ADDRESS, MADE)[0], at
    assert not jar.reply(cookie + b"\0", ADDRESS, MADE)[0]


def test_a_new_secret_takes_cookies_of_the_one_before_but_no_older_ones() -> None:
    jar = CookieJar(Secrets((SECRET,)))
    _, cookie = jar.reply(CLIENT, ADDRESS, MADE)
    jar.roll(b"1" * 16)
    assert jar.reply(cookie, ADDRESS, MADE)[0]
    jar.roll(b"2" * 16)
    assert not jar.reply(cookie, ADDRESS, MADE)[0]


def test_the_time_in_a_cookie_wraps_around() -> None:
    jar = CookieJar(Secrets((SECRET,)))
    _, cookie = jar.reply(CLIENT, ADDRESS, (1 << 32) - 10)
    assert jar.reply(cookie, ADDRESS, (1 << 32) + 10)[0]


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Secrets((b"short",))
