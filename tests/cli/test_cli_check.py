import tomllib
from pathlib import Path
from typing import Any

import pytest

from edgeproxy.configuration.sample import sample


def test_check_prints_each_site_and_what_it_maps_to(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(
        '[[site]]\nname = "files"\nmount = "/f"\nkind = "python-index"\n'
        'index = "http://me:secret@127.0.0.1:9000/top"\n'
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


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ('credentials = "static"\ncredentials_file = "/absent/secret"', "site.pypi.credentials_file"),
        ('index = "https://one.example/"\nupstreams = ["https://one.example/"]', "site.pypi.upstreams"),
        ('index = "ftp://one.example/"', "site.pypi.index"),
    ],
)
def test_what_a_site_cannot_be_built_of_is_found_as_a_node_would(
    run: Any, tmp_path: Path, options: str, complaint: str
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(f'[[site]]\nname = "pypi"\nkind = "python-index"\nmount = "/pypi"\n{options}\n')
    ended = run("check", "--config", str(file))
    assert ended.code == 2
    assert complaint in ended.err
    assert ended.out == ""


def test_check_shows_the_nodes_of_a_router(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text('[[router.node]]\nname = "paris"\nurl = "http://paris.example"\ncountry = "FR"\n')
    ended = run("check", "--config", str(file))
    assert ended.code == 0
    for words in ("paris", "http://paris.example", "FR", "up"):
        assert words in ended.out


def test_the_way_out_of_the_network_is_told_and_a_wrong_one_refused(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert "by the proxy" not in run("check").out
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:secret@proxy.office:3128")
    monkeypatch.setenv("HTTP_PROXY", "socks5://proxy.office:1080")
    monkeypatch.setenv("NO_PROXY", ".office")
    ended = run("check", "--set", "upstream.direct=10.0.0.0/8")
    said = "by the proxy proxy.office:3128: all but this machine, 10.0.0.0/8, .office"
    assert ended.out.splitlines()[-1] == said
    assert ended.err.startswith("edgeproxy: HTTP_PROXY is left out: socks5 is no way to a proxy here")
    wrong = run("check", "--set", "upstream.proxy=https://proxy.office")
    assert (wrong.code, "upstream.proxy" in wrong.err) == (2, True)
