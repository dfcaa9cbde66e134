from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from edgeproxy.config import Config, default_sites
from edgeproxy.configuration.source import FILE_BYTES_MAX, load
from edgeproxy.errors import ConfigurationError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(text)
    return path


def refused(
    path: Path | None = None, settings: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(path, settings, environ or {})
    assert "\n" not in str(caught.value)
    return caught.value


FILE = """
[cache]
disk = "1GiB"
directory = "cache"
[[site]]
name = "files"
kind = "generic"
mount = "/files"
origin = "http://127.0.0.1:9000"
ttl = "1h"
"""


def test_without_any_source_there_are_the_defaults_and_the_default_sites() -> None:
    config = load(None, [], {})
    assert config == Config(site=[*default_sites()])


def test_the_file_replaces_the_default_site(tmp_path: Path) -> None:
    config = load(written(tmp_path, FILE), [], {})
    assert [site.name for site in config.site] == ["files"]
    assert config.site[0].ttl == 3600.0
    assert config.cache.disk == 1 << 30
    assert config.cache.memory == Config().cache.memory


def test_the_environment_wins_over_the_file_and_settings_over_both(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    environ = {"EDGEPROXY_CACHE_DISK": "2GiB", "EDGEPROXY_CACHE_MEMORY_BODY": "2MiB"}
    assert load(path, [], environ).cache.disk == 2 << 30
    assert load(path, [], environ).cache.memory_body == 2 << 20
    assert load(path, ["cache.disk=3GiB"], environ).cache.disk == 3 << 30
    assert load(path, ["cache.disk=3GiB", "cache.disk=4GiB"], environ).cache.disk == 4 << 30


def test_relative_names_start_at_the_file_or_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, FILE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load(path, [], {}).cache.directory == str(tmp_path / "cache")
    assert load(Path("../edge.toml"), [], {}).cache.directory.endswith("/../cache")
    assert load(path, ["cache.directory=c"], {}).cache.directory == str(tmp_path / "elsewhere" / "c")


def test_a_setting_addresses_a_site_by_its_name(tmp_path: Path) -> None:
    config = load(
        written(tmp_path, FILE), ["site.files.ttl=2h", "site.files.origin=http://127.0.0.1:1/a=b"], {}
    )
    assert config.site[0].ttl == 7200.0
    assert config.site[0].origin == "http://127.0.0.1:1/a=b"


def test_a_setting_can_change_the_default_sites() -> None:
    config = load(None, ["site.pypi.index=http://127.0.0.1:9100/simple/"], {})
    assert config.site[0].index == "http://127.0.0.1:9100/simple/"
    assert config.site[0].mount == default_sites()[0].mount


def test_settings_add_a_site_when_they_tell_its_kind() -> None:
    settings = ["site.f.kind=generic", "site.f.mount=/f", "site.f.origin=http://127.0.0.1:9"]
    assert [site.name for site in load(None, settings, {}).site] == ["pypi", "hf", "f"]
    error = refused(None, ["site.pipy.mount=/f"])
    assert error.path == "site.pipy"
    assert "did you mean pypi?" in str(error)


def test_the_environment_addresses_sites_as_well(tmp_path: Path) -> None:
    path = written(tmp_path, FILE.replace('"files"', '"my-files"'))
    assert load(path, [], {"EDGEPROXY_SITE_MY_FILES_TTL_DEFAULT": "5"}).site[0].ttl_default == 5.0
    added = load(
        None,
        [],
        {
            "EDGEPROXY_SITE_F_KIND": "generic",
            "EDGEPROXY_SITE_F_MOUNT": "/f",
            "EDGEPROXY_SITE_F_ORIGIN": "http://127.0.0.1:9",
        },
    )
    assert added.site[-1].name == "f"


def test_lists_are_written_with_commas_in_environment_and_settings() -> None:
    config = load(None, ["site.pypi.blocked=a,b"], {"EDGEPROXY_LISTEN_HTTP": "127.0.0.1:1,[::1]:2"})
    assert config.listen.http == ["127.0.0.1:1", "[::1]:2"]
    assert config.site[0].blocked == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("[cahce]\ndisk = 1", "cahce", "did you mean cache?"),
        ("[cache]\ndisc = 1", "cache.disc", "did you mean cache.disk?"),
        ("[cache]\ntoken = 1", "cache.token", "did you mean admin.token?"),
        ("[cache]\ndisk = 'lots'", "cache.disk", "is not a size"),
        ("[limits]\nhead_timeout = '10MiB'", "limits.head_timeout", "is not a duration"),
        ("cache = 5", "cache", "is a section"),
        ("[site]\nname = 'a'", "site", "[[site]]"),
        ("[[site]]\nmount = '/'", "site", "needs a name"),
        ("[[site]]\nname = 5", "site", "needs a name"),
        (FILE + "orgin = 1", "site.files.orgin", "did you mean site.files.origin?"),
        (FILE + FILE[FILE.index("[[site]]") :], "site.files", "two sites have this name"),
        ("nonsense", "", "is not TOML"),
        ("a = " + "[" * 100_000, "", "edge.toml: is"),
    ],
)
def test_what_is_not_understood_is_named(tmp_path: Path, text: str, path: str, message: str) -> None:
    error = refused(written(tmp_path, text))
    assert error.path == path
    assert message in str(error)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("cache.disk", "section.key=value"),
        ("disk=1", "section.key=value"),
        ("site.disk=1", "site.NAME.key=value"),
        ("=1", "section.key=value"),
        ("cahce.disk=1", "did you mean cache.disk?"),
        ("cache.dsk=1", "did you mean cache.disk?"),
        ("site.pypi.name=x", "is that in its path"),
        ("site.pypi.moutn=/x", "did you mean site.pypi.mount?"),
    ],
)
def test_a_setting_not_understood_is_named(setting: str, message: str) -> None:
    assert message in str(refused(None, [setting]))


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("EDGEPROXY_CAHCE_DISK", "EDGEPROXY_CACHE_DISK"),
        ("EDGEPROXY_CACHE_DISC", "EDGEPROXY_CACHE_DISK"),
        ("EDGEPROXY_SITE_PYPI_MUONT", "EDGEPROXY_SITE_PYPI_MOUNT"),
    ],
)
def test_an_unknown_variable_of_ours_is_named_with_the_nearest(variable: str, nearest: str) -> None:
    error = refused(None, [], {variable: "1"})
    assert error.path == variable
    assert f"did you mean {nearest}?" in str(error)


def test_variables_a_container_platform_adds_for_a_service_of_this_name_are_ignored() -> None:
    environ = {
        "EDGEPROXY_SERVICE_HOST": "10.0.0.1",
        "EDGEPROXY_SERVICE_PORT": "8080",
        "EDGEPROXY_SERVICE_PORT_HTTP": "8080",
        "EDGEPROXY_PORT": "tcp://10.0.0.1:8080",
        "EDGEPROXY_PORT_8080_TCP_ADDR": "10.0.0.1",
        "EDGEPROXY_CONFIG": "x",
        "PATH": "/bin",
    }
    assert load(None, [], environ) == load(None, [], {})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "cannot be read" in str(refused(tmp_path / "absent.toml"))
    assert "cannot be read" in str(refused(tmp_path))
    path = tmp_path / "edge.toml"
    path.write_bytes(b"\xff\xfe")
    assert "UTF-8" in str(refused(path))
    path.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    assert "larger than" in str(refused(path))


def test_a_configuration_that_cannot_work_is_refused_whatever_its_source() -> None:
    assert refused(None, ["admin.listen=0.0.0.0:8081"]).path == "admin.token"


PARENTS = """
[[parent]]
url = "https://up.example:8443"

[[parent]]
name = "near"
url = "http://10.0.0.1"
preference = 1
"""


def test_a_parent_is_called_after_its_place_unless_it_has_a_name(tmp_path: Path) -> None:
    path = written(tmp_path, FILE + PARENTS)
    config = load(path, ["parent.up.example:8443.weight=2", "parent.near.token=t"], {})
    assert [(one.name, one.weight, one.token) for one in config.parent] == [
        ("up.example:8443", 2.0, ""),
        ("near", 1.0, "t"),
    ]
    by_environment = load(path, [], {"EDGEPROXY_PARENT_UP_EXAMPLE_8443_TOKEN": "t"})
    assert by_environment.parent[0].token == "t"


def test_a_setting_adds_a_parent_when_it_tells_the_url() -> None:
    assert load(None, ["parent.up.url=http://up.example"], {}).parent[0].url == "http://up.example"
    assert refused(None, ["parent.up.token=t"]).path == "parent.up"


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("[parent]\nurl = 'http://a'", "parent", "[[parent]]"),
        ("[[parent]]\nname = ''", "parent", "needs a url"),
        ("[[parent]]\nurl = 'http://a'\n[[parent]]\nurl = 'http://a'", "parent.a", "two parents"),
        ("[[parent]]\nurl = 'http://a'\nprefrence = 1", "parent.a.prefrence", "did you mean"),
    ],
)
def test_parents_are_refused_with_the_key(tmp_path: Path, text: str, path: str, message: str) -> None:
    error = refused(written(tmp_path, text), [])
    assert error.path == path
    assert message in str(error)
