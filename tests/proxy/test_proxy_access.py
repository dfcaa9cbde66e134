"""Who may go where, rule by rule."""

from __future__ import annotations

import base64
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.proxy.access import Rules, is_known, judge, matches

RULES = Rules(clients=tuple(ip_network(text) for text in ("127.0.0.0/8", "10.0.0.0/8", "::1/128")))


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("client", "rule"),
    [
        ("127.0.0.1", None),
        ("10.1.2.3", None),
        ("::1", None),
        ("::ffff:10.1.2.3", None),
        ("", None),
        ("192.0.2.1", "clients"),
        ("::ffff:192.0.2.1", "clients"),
        ("2001:db8::1", "clients"),
        ("no address", "clients"),
    ],
)
def test_clients_are_those_of_the_networks(client: str, rule: str | None) -> None:
    refusal = judge(RULES, client, "example.org", 443, "")
    assert (refusal and refusal.rule) == rule


@pytest.mark.parametrize(
    ("host", "port", "rule"),
    [
        ("example.org", 80, None),
        ("example.org", 443, None),
        ("example.org", 22, "ports"),
        ("a.example.org", 443, None),
        ("bad.example.org", 443, "refused_hosts"),
        ("BAD.example.org.", 443, "refused_hosts"),
        ("x.bad.example.org", 443, None),
        ("x.worse.example", 443, "refused_hosts"),
        ("example.net", 443, "hosts"),
        ("notexample.org", 443, "hosts"),
    ],
)
def test_ports_and_hosts_are_those_of_the_rules(host: str, port: int, rule: str | None) -> None:
    rules = replace(
        RULES,
        hosts=("example.org", "*.example.org", "*.worse.example"),
        refused_hosts=("bad.example.org", "*.worse.example"),
    )
    refusal = judge(rules, "127.0.0.1", host, port, "")
    assert (refusal and refusal.rule) == rule
    assert refusal is None or (refusal.status, refusal.fields) == (403, ())


SECURED = replace(RULES, users=("ada:love:lace", "bob:"), tokens=("t0ken",))


@pytest.mark.parametrize(
    ("authorization", "known"),
    [
        (basic("ada:love:lace"), True),
        (basic("bob:"), True),
        (basic("ada:love").lower(), False),
        ("basic " + basic("bob:")[6:], True),
        ("Bearer t0ken", True),
        ("bearer   t0ken ", True),
        ("", False),
        ("Basic", False),
        ("Basic !!", False),
        (basic("ada:"), False),
        ("Bearer t0ken2", False),
        ("Digest t0ken", False),
        ("Basic " + "A" * 5000, False),
    ],
)
def test_who_has_to_show_something_is_told_what(authorization: str, known: bool) -> None:
    refusal = judge(SECURED, "127.0.0.1", "example.org", 443, authorization)
    assert (refusal is None) == known
    if refusal is not None:
        assert refusal.status == 407
        assert [value.partition(" ")[0] for _, value in refusal.fields] == ["Basic", "Bearer"]
    assert "lace" not in repr(SECURED)


@given(st.text(max_size=60))
def test_no_credentials_break_it(text: str) -> None:
    assert is_known(SECURED, text) in (True, False)


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("a.b", "*", True),
        ("a.b", "a.b", True),
        ("a.b", "*.b", True),
        ("b", "*.b", False),
        ("ab", "*b", False),
        ("a.b.c", "*.c", True),
    ],
)
def test_patterns(name: str, pattern: str, fits: bool) -> None:
    assert matches(name, [pattern]) is fits
