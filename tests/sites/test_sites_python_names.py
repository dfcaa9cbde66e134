from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.sites import python_names


@given(st.text(alphabet="aZ09-_.", min_size=1, max_size=20))
@settings(max_examples=150)
def test_normalisation_is_that_of_the_simple_api_and_stable(raw: str) -> None:
    name = python_names.normalise(raw)
    assert name == re.sub(r"[-_.]+", "-", raw).lower()
    assert python_names.normalise(name) == name
    accepted = python_names.project(raw)
    assert (accepted is not None) == bool(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name))


@pytest.mark.parametrize("raw", ["", "-a", "a-", "..", "a/b", "a%2fb", "é", "a\0", "İ", "a\n", "a" * 300])
def test_what_can_be_no_name_is_none(raw: str) -> None:
    assert python_names.project(raw) is None


@pytest.mark.parametrize(
    ("file", "project"),
    [
        ("Some_Thing-1.0-py3-none-any.whl", "some-thing"),
        ("some-thing-1.0.tar.gz", "some-thing"),
        ("a-2b-1.0.zip", "a-2b"),
        ("a-1.0-2.tar.gz", "a"),
        ("some.thing-1.0rc1.tar.bz2", "some-thing"),
        ("index.html", None),
        ("-1.0.zip", None),
    ],
)
def test_the_project_is_guessed_from_the_file_name(file: str, project: str | None) -> None:
    assert python_names.project_of_file(file) == project


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/a/b-1.whl", "/a/b-1.whl"),
        ("/a/b-1+cpu.whl", "/a/b-1%2Bcpu.whl"),
        ("/a/b-1%2bcpu.whl", "/a/b-1%2Bcpu.whl"),
        ("/a/../b", None),
        ("/a/%2e%2e/b", None),
        ("/a%2fb", None),
        ("/a//b", None),
        ("/a/", None),
        ("/a/b c", None),
        ("/a/%00b", None),
        ("/a/é", None),
        ("/a/b%5Cc", None),
    ],
)
def test_a_file_has_one_canonical_path_or_none(path: str, canonical: str | None) -> None:
    assert python_names.canonical_path(path) == canonical


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("a_b-1.0-py3-none-any.whl", True),
        ("a_b-1.0.tar.gz", True),
        ("a-b-1.0.tar.gz", False),
        ("a-2b-1.0.zip", False),
    ],
)
def test_the_project_of_some_files_can_only_be_guessed(name: str, exact: bool) -> None:
    assert python_names.is_exact(name) is exact
