from typing import Any

import pytest

from edgeproxy.cli.rendering import cell, sections, show


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("x", None, "-"),
        ("x", True, "yes"),
        ("x", 12345, "12,345"),
        ("x", [], "-"),
        ("x", ["a", "b"], "a, b"),
        ("x", {"a": 1}, "a=1"),
        ("disk_bytes", 1536, "1.5 KiB"),
        ("disk_bytes_max", 100 << 30, "100.0 GiB"),
        ("age_seconds", 1.5, "1.500 s"),
        ("age_seconds", 3600, "3,600 s"),
        ("hit_ratio", 0.5, "50.0 %"),
        ("hit_ratio", None, "-"),
        ("last_time", 1795937682.77, "2026-11-29 07:34:42 UTC"),
    ],
)
def test_a_value_is_shown_in_the_unit_its_name_tells(name: str, value: Any, text: str) -> None:
    assert cell(name, value) == text


def test_what_does_not_fit_into_columns_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    digest = "ab" * 32
    show(sections({"stored": [{"digest": digest, "tags": ["a", "b"]}, {"digest": "c", "tags": []}]}))
    lines = [line.rstrip() for line in capsys.readouterr().out.split("\n")]
    assert f"digest  {digest}" in lines
    assert lines.count("tags    a, b") == 1


def test_flat_rows_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    show(sections({"sites": [{"name": "a", "kind": "b"}, {"name": "c", "kind": "d"}]}))
    lines = [line.split() for line in capsys.readouterr().out.split("\n")]
    assert lines[2:5] == [["name", "kind"], ["a", "b"], ["c", "d"]]
