"""What lies in the directory, and who may use it."""

from __future__ import annotations

import pytest

from edgeproxy.errors import StartError
from edgeproxy.storage.directory import Directory

BODY = "ab" * 16


def test_only_names_of_ours_in_their_own_folder_are_bodies(tmp_path):
    directory = Directory(str(tmp_path / "c"))
    bodies = tmp_path / "c" / "bodies"
    for name in (f"ab/ab/{BODY}", f"ab/cd/{BODY}", "ab/ab/x", f"AB/ab/{BODY}", BODY):
        (bodies / name).parent.mkdir(parents=True, exist_ok=True)
        (bodies / name).write_bytes(b"")
    assert list(directory.body_ids()) == [BODY]
    directory.close()


def test_another_layout_is_refused_and_left_alone(tmp_path):
    (tmp_path / "VERSION").write_bytes(b"2\n")
    with pytest.raises(StartError, match="layout 2"):
        Directory(str(tmp_path))
    assert (tmp_path / "VERSION").read_bytes() == b"2\n"


def test_a_link_in_place_of_a_small_file_is_not_followed(tmp_path):
    directory = Directory(str(tmp_path / "c"))
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "c" / "purges.log").symlink_to(tmp_path / "secret")
    assert directory.read("purges.log", 100) == b""
    directory.close()


def test_a_file_in_place_of_the_directory_is_called_one(tmp_path):
    (tmp_path / "c").write_bytes(b"kept")
    with pytest.raises(StartError, match="is a file, not a directory"):
        Directory(str(tmp_path / "c"))
    assert (tmp_path / "c").read_bytes() == b"kept"
