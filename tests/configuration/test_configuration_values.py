from pathlib import Path
from typing import Any

import pytest

from edgeproxy.config import Admin, Cache, Fill, Listen, Node, Site, Sni, Tls
from edgeproxy.config_proxy import Proxy
from edgeproxy.configuration.values import from_text, from_toml, options
from edgeproxy.errors import ConfigurationError

HERE = Path("/etc/edge")


@pytest.mark.parametrize(
    ("section", "key", "written", "value"),
    [
        (Cache, "disk", "64MiB", 64 << 20),
        (Cache, "disk", 4096, 4096),
        (Cache, "retry_disk", "500ms", 0.5),
        (Cache, "retry_disk", 10, 10.0),
        (Cache, "directory", "cache", "/etc/edge/cache"),
        (Cache, "directory", "/srv/cache", "/srv/cache"),
        (Cache, "directory", "", ""),
        (Cache, "memory_eviction", "lru", "lru"),
        (Node, "workers", "auto", "auto"),
        (Listen, "http", ["[::1]:80", "unix:/run/e"], ["[::1]:80", "unix:/run/e"]),
        (Listen, "trusted_clients", ["10.0.0.0/8", "::1"], ["10.0.0.0/8", "::1"]),
        (Site, "ttl", "1h", 3600.0),
        (Site, "rewrite", [["/a", "/b"]], [["/a", "/b"]]),
        (Site, "options", {"a": 1}, {"a": 1}),
        (Fill, "finish_share", 0.5, 0.5),
        (
            Tls,
            "sni",
            [{"certificate": "a.pem"}, {"certificate": "/b", "key": "b.key", "names": ["b.example"]}],
            [
                Sni(certificate="/etc/edge/a.pem"),
                Sni(certificate="/b", key="/etc/edge/b.key", names=["b.example"]),
            ],
        ),
    ],
)
def test_a_value_of_the_file_becomes_the_options_type(
    section: Any, key: str, written: Any, value: Any
) -> None:
    read = from_toml(options(section)[key], f"x.{key}", written, HERE)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("section", "key", "text", "value"),
    [
        (Cache, "disk", "64MiB", 64 << 20),
        (Cache, "sync", "yes", True),
        (Cache, "sync", "0", False),
        (Cache, "variants", "12", 12),
        (Node, "workers", "1", 1),
        (Node, "workers", "auto", "auto"),
        (Listen, "http", "127.0.0.1:1, [::1]:2", ["127.0.0.1:1", "[::1]:2"]),
        (Listen, "http", "[::1]:2", ["[::1]:2"]),
        (Listen, "http", "[::1]:2,127.0.0.1:1", ["[::1]:2", "127.0.0.1:1"]),
        (Listen, "http", '["127.0.0.1:1"]', ["127.0.0.1:1"]),
        (Listen, "trusted_clients", "", []),
        (Site, "ttl", "", None),
        (Site, "private_addresses", "true", True),
        (Site, "private_addresses", "none", None),
        (Site, "rewrite", '[["/a", "/b"]]', [["/a", "/b"]]),
        (Site, "options", "{a = 1}", {"a": 1}),
        (Fill, "finish_share", "0.5", 0.5),
        (Tls, "sni", '[{certificate = "a"}]', [Sni(certificate="/etc/edge/a")]),
        (Proxy, "ports", "443, 80", [443, 80]),
        (Admin, "token", "a=b,c", "a=b,c"),
        (Admin, "token", "1234", "1234"),
    ],
)
def test_a_value_given_as_text_becomes_the_options_type(
    section: Any, key: str, text: str, value: Any
) -> None:
    assert from_text(options(section)[key], f"x.{key}", text, HERE) == value


@pytest.mark.parametrize(
    ("section", "key", "written", "message"),
    [
        (Cache, "disk", "64 apples", "is not a size"),
        (Cache, "disk", -1, "expected a size"),
        (Cache, "disk", 1.5, "expected a size"),
        (Cache, "disk", True, "expected a size"),
        (Cache, "retry_disk", "10MiB", "is not a duration"),
        (Cache, "retry_disk", [], "expected a duration"),
        (Cache, "retry_disk", float("inf"), "infinity"),
        (Cache, "retry_disk", float("nan"), "infinity"),
        (Cache, "sync", 1, "expected `bool`"),
        (Cache, "memory_eviction", "fifo", "one of lru, s3-fifo"),
        (Cache, "directory", 5, "expected `str`"),
        (Listen, "http", "127.0.0.1:1", "expected `array`"),
        (Listen, "http", ["8080"], "host:port"),
        (Listen, "trusted_clients", ["10.0.0.1/8"], "host bits"),
        (Site, "origin", "ftp://127.0.0.1/", "a URL is written"),
        (Site, "origin", "http://", "a URL is written"),
        (Site, "origin", "http://h:99999/", "a URL is written"),
        (Site, "origin", "http://h/?a", "neither query"),
        (Site, "origin", "http://h/\n", "printable ASCII"),
        (Fill, "finish_share", 2.0, "<= 1"),
        (Node, "workers", "many", "auto"),
    ],
)
def test_a_value_of_the_wrong_form_names_its_key(section: Any, key: str, written: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_toml(options(section)[key], f"x.{key}", written, HERE)
    assert caught.value.path == f"x.{key}"
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["٣", "1_0", "+1", " 1", "1e3", "9" * 19])
def test_only_plain_ascii_digits_are_a_count(text: str) -> None:
    with pytest.raises(ConfigurationError):
        from_text(options(Cache)["variants"], "cache.variants", text, HERE)


def test_a_password_in_a_url_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_toml(options(Site)["origin"], "site.a.origin", "ftp://me:secret@127.0.0.1/", HERE)
    assert "secret" not in str(caught.value)


def test_the_schema_tells_type_unit_and_choices_of_an_option() -> None:
    ttl = options(Site)["ttl"]
    assert (ttl.type, ttl.unit, ttl.optional) == ("number", "duration", True)
    assert options(Cache)["memory_eviction"].choices == ("lru", "s3-fifo", "sieve", "w-tinylfu")
    assert options(Listen)["http"].type == "list"
    assert options(Listen)["http"].unit == "address"
    assert options(Site)["name"].required


@pytest.mark.parametrize(
    ("written", "path", "said"),
    [
        ("a.pem", "tls.sni", "list of tables"),
        (["a.pem"], "tls.sni", "list of tables"),
        (
            [{"certificate": "a"}, {"certificat": "b"}],
            "tls.sni.2.certificat",
            "did you mean tls.sni.certificate",
        ),
        ([{"certificate": "a", "x": 1}], "tls.sni.1.x", "unknown key"),
        ([{"key": "a"}], "tls.sni.1.certificate", "is needed"),
        ([{"certificate": 7}], "tls.sni.1.certificate", "expected"),
        ([{"certificate": "a", "names": "b"}], "tls.sni.1.names", "expected"),
    ],
)
def test_a_fault_in_a_list_of_tables_is_named_with_its_place(written: Any, path: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        from_toml(options(Tls)["sni"], "tls.sni", written, HERE)
    assert caught.value.path == path
