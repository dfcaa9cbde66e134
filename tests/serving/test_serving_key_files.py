from __future__ import annotations

from pathlib import Path

import pytest

from edgeproxy.serving.key_files import replace


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_what_was_there_is_replaced_with_the_mode_asked_for(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(b"former, and longer")
    path.chmod(0o666)
    replace(path, b"new", mode)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_left_where_the_temporary_file_goes_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"kept")
    (tmp_path / "a.key.new").symlink_to(victim)
    replace(tmp_path / "a.key", b"secret", 0o600)
    assert victim.read_bytes() == b"kept"
    assert (tmp_path / "a.key").read_bytes() == b"secret"
    assert not (tmp_path / "a.key").is_symlink()
