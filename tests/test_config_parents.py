"""Nodes above and beside this one as they are without a word of the operator."""

from __future__ import annotations

import pytest

from edgeproxy.config_parents import Parent, Siblings


def test_a_parent_is_asked_for_every_site_under_the_origins_name() -> None:
    parent = Parent(url="http://parent.example:8080")
    assert (parent.sites, parent.asks, parent.verify_tls) == (["*"], "origin-name", True)
    with pytest.raises(TypeError):
        Parent()  # type: ignore[call-arg]


def test_a_node_has_no_siblings_until_they_are_named() -> None:
    assert (Siblings().nodes, Siblings().own) == ([], "")


def test_nodes_near_by_are_given_less_time_than_those_above() -> None:
    parent = Parent(url="http://parent.example:8080")
    assert Siblings().connect_timeout < parent.connect_timeout
