"""Wheels and the stand-in index that gives them."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile

import pytest

from benchmarks import bodies
from benchmarks.index import Answers
from benchmarks.replies import Request
from benchmarks.wheels import ROOT, Project, projects, reached

KNOWN = projects(20, 1000, 5000)


def _get(path: str) -> Request:
    return Request("GET", path, {}, {}, b"")


def test_a_wheel_is_a_zip_whose_record_is_right() -> None:
    project = Project("some-name", 1_500_000, ("other",))
    with zipfile.ZipFile(io.BytesIO(project.wheel)) as archive:
        assert archive.testzip() is None
        record = archive.read("some_name-1.0.dist-info/RECORD").decode().splitlines()
        for line in record[:-1]:
            path, digest, size = line.split(",")
            data = archive.read(path)
            found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={found}", str(len(data))), path
        assert archive.read("some_name/data.bin") == project.data
        assert archive.read("some_name-1.0.dist-info/METADATA") == project.metadata
    assert b"Requires-Dist: other\n" in project.metadata


def test_data_has_the_size_asked_for_also_beyond_the_period_of_bodies() -> None:
    assert len(Project("a", bodies.PERIOD + 10).data) == bodies.PERIOD + 10


@pytest.mark.parametrize("count", [4, 7, 20])
def test_the_root_needs_all_others_and_none_of_them_needs_itself(count: int) -> None:
    known = projects(count, 10, 20)
    assert reached(known) == {project.name for project in known}
    assert len(known) == count + 1
    for project in known:
        below = set().union(*(reached(known, name) for name in project.requires))
        assert project.name not in below
        assert len(set(project.requires)) == len(project.requires)


def test_only_the_first_layer_is_asked_for_by_the_root() -> None:
    assert len(next(project for project in KNOWN if project.name == ROOT).requires) == 5


def test_pages_link_each_wheel_with_its_digest_and_its_metadata_beside_it() -> None:
    answers = Answers(KNOWN)
    for project in KNOWN:
        page = answers.answer(_get(f"/simple/{project.name}/"))
        text = bytes(page.read(0, page.size)).decode()
        link = re.search(r'href="([^"#]+)#sha256=([0-9a-f]+)" data-core-metadata="sha256=([0-9a-f]+)"', text)
        assert link is not None
        wheel, metadata = answers.answer(_get(link[1])), answers.answer(_get(f"{link[1]}.metadata"))
        digests = [hashlib.sha256(bytes(one.read(0, one.size))).hexdigest() for one in (wheel, metadata)]
        assert digests == [link[2], link[3]]


@pytest.mark.parametrize("path", ["/simple/absent/", "/simple/", "/packages/x", "/simple/bench-root"])
def test_what_is_not_there_is_404(path: str) -> None:
    assert Answers(KNOWN[:2]).answer(_get(path)).status == 404
