from __future__ import annotations

from typing import Any

import pytest

from edgeproxy import config
from edgeproxy.message import Headers, Request
from edgeproxy.policy.rules import Rules
from edgeproxy.sites.python_links import LinkRules
from edgeproxy.sites.python_plans import IndexPlans
from edgeproxy.upstream.upstream import Origin, Reach

INDEX = Origin("https", "index.example", 443)
FILES = Origin("https", "files.example", 443)
OTHER = Origin("https", "other.example", 443)


def plans(private: bool = False, **options: Any) -> IndexPlans:
    return IndexPlans(
        settings=config.Site(name="s", **options),
        reach=Reach(),
        origin=INDEX,
        links=LinkRules(INDEX, private=private, configured=frozenset({FILES})),
        authorization="Basic own",
        ca_file="",
    )


def request(credential: str = "") -> Request:
    return Request("GET", "/", Headers((("Authorization", credential),) if credential else ()))


@pytest.mark.parametrize(("origin", "sent"), [(INDEX, "Basic own"), (FILES, None), (OTHER, None)])
def test_our_credentials_go_to_the_index_and_nowhere_else(origin: Origin, sent: str | None) -> None:
    made = plans().of_file(request(), origin, "/a-1.zip", Rules())
    assert made.fields.get("Authorization") == sent
    assert made.fields["Cookie"] is None
    assert not made.keep_authorization


@pytest.mark.parametrize(("origin", "passed"), [(INDEX, True), (FILES, False), (OTHER, False)])
def test_a_clients_credentials_are_passed_to_the_index_alone(origin: Origin, passed: bool) -> None:
    made = plans(credentials="pass").of_file(request("Basic a"), origin, "/a-1.zip", Rules())
    assert made.keep_authorization is passed


def test_keys_tell_credentials_apart_without_telling_them() -> None:
    one = plans(credentials="pass")
    keys = {one.of_index(request(c), "/x", Rules(), fields={}).key for c in ("", "Basic a", "Basic b")}
    assert len(keys) == 3
    assert not any("Basic" in key for key in keys)
    again = one.of_index(request("Basic a"), "/x", Rules(), fields={}).key
    assert again in keys
    assert plans().of_index(request("Basic a"), "/x", Rules(), fields={}).key == "https://index.example/x"


@pytest.mark.parametrize(
    ("origin", "hosts"),
    [
        (INDEX, {"index.example", "files.example"}),
        (FILES, {"index.example", "files.example"}),
        (OTHER, {"other.example"}),
    ],
)
def test_redirects_stay_among_the_hosts_of_the_configuration(origin: Origin, hosts: set[str]) -> None:
    assert plans().of_file(request(), origin, "/a", Rules()).redirects == hosts


@pytest.mark.parametrize(
    ("private", "allowed", "expected"), [(False, None, False), (True, None, True), (True, False, False)]
)
def test_a_learned_host_is_at_a_private_address_only_if_the_index_may_be(
    private: bool, allowed: bool | None, expected: bool
) -> None:
    made = plans(private, private_addresses=allowed).of_file(request(), OTHER, "/a", Rules())
    assert made.reach.private_addresses is expected
