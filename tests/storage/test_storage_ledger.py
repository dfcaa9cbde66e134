from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeproxy.errors import StorageError
from edgeproxy.storage import ledger
from edgeproxy.storage.ledger import Ledger


def ledger_at(path: Path) -> Ledger:
    def unexpected(line: str) -> None:
        raise AssertionError(line)

    return Ledger(path, unexpected)


def test_what_was_added_is_read_by_the_next_process(tmp_path: Path) -> None:
    first = ledger_at(tmp_path / "owners" / "pypi")
    assert first.read() == {}
    first.add("acme", "http://one/")
    first.add("beta", "http://two/")
    first.add("acme", "http://two/")
    assert ledger_at(tmp_path / "owners" / "pypi").read() == {"acme": "http://two/", "beta": "http://two/"}


def test_a_line_that_was_cut_off_is_no_line_and_spoils_none(tmp_path: Path) -> None:
    path = tmp_path / "pypi"
    path.write_bytes(b"acme\thttp://one/\nbeta\thttp://tw")
    kept = ledger_at(path)
    assert kept.read() == {"acme": "http://one/"}
    kept.add("gamma", "http://one/")
    assert kept.read()["gamma"] == "http://one/"
    assert kept.read()["acme"] == "http://one/"


def test_bytes_that_are_no_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "pypi"
    path.write_bytes(b"\xff\xfe\nno tab\n\na\tb\n")
    assert ledger_at(path).read() == {"a": "b"}


@pytest.mark.parametrize(("name", "value"), [("a\tb", "c"), ("a", "b\nc"), ("a", "b" * 5000), ("ä", "b")])
def test_what_is_not_one_line_is_refused(tmp_path: Path, name: str, value: str) -> None:
    kept = ledger_at(tmp_path / "pypi")
    with pytest.raises(ValueError):
        kept.add(name, value)
    assert kept.read() == {}


def test_a_ledger_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "BYTES_MAX", 64)
    told: list[str] = []
    kept = Ledger(tmp_path / "pypi", told.append)
    kept.add("a" * 20, "b" * 20)
    kept.add("c" * 20, "d" * 20)
    assert list(kept.read()) == ["a" * 20]
    assert len(told) == 1


def test_a_disk_that_refuses_is_told_of_once(tmp_path: Path) -> None:
    (tmp_path / "folder").write_bytes(b"")
    told: list[str] = []
    kept = Ledger(tmp_path / "folder" / "pypi", told.append)
    kept.add("a", "b")
    kept.add("c", "d")
    assert len(told) == 1
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    Ledger(tmp_path / "link", told.append).add("a", "b")
    assert len(told) == 2
    assert not (tmp_path / "elsewhere").exists()
    os.mkdir(tmp_path / "directory")
    with pytest.raises(StorageError):
        ledger_at(tmp_path / "directory").read()
