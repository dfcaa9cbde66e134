import tomllib
from pathlib import Path
from typing import Any

from edgeproxy.configuration.sample import sample


def test_check_prints_each_site_and_what_it_maps_to(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(
        '[[site]]\nname = "files"\nmount = "/f"\norigin = "http://me:secret@127.0.0.1:9000/top"\n'
    )
    ended = run("check", "--config", str(file))
    assert ended.code == 0
    assert f"{file}: ok" in ended.out
    assert "/f/..." in ended.out
    assert "http://127.0.0.1:9000/top" in ended.out
    assert "secret" not in ended.out


def test_check_without_a_file_shows_the_default_site(run: Any) -> None:
    ended = run("check")
    assert ended.code == 0
    assert "as pip is configured" in ended.out


def test_the_sample_can_be_printed(run: Any) -> None:
    ended = run("check", "--sample")
    assert ended.out == sample()
    assert "cache" in tomllib.loads(ended.out)


def test_a_missing_file_is_one_line_and_2(run: Any, tmp_path: Path) -> None:
    ended = run("check", "--config", str(tmp_path / "absent"))
    assert ended.code == 2
    assert "cannot be read" in ended.err
