from typing import Any

import pytest

from edgeproxy.cli.warm_targets import (
    Place,
    RepositoryTarget,
    UrlTarget,
    as_asked,
    hub_place,
    is_wanted,
    parse_target,
)
from edgeproxy.config import Config, Site
from edgeproxy.errors import ConfigurationError
from edgeproxy.sites.hub_names import Repo

COMMIT = "1f" * 20


def repository(kind: str, name: str, revision: str = "main", site: str = "hf") -> RepositoryTarget:
    return RepositoryTarget(site, Repo(kind, name), revision)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("hf:org/name", repository("models", "org/name")),
        ("hf:gpt2", repository("models", "gpt2")),
        ("hf:models/org/name", repository("models", "org/name")),
        ("hf:datasets/org/name@v1.0", repository("datasets", "org/name", "v1.0")),
        ("hf:spaces/org/name@refs/pr/3", repository("spaces", "org/name", "refs/pr/3")),
        (f"mirror:org/name@{COMMIT}", repository("models", "org/name", COMMIT, "mirror")),
        ("/pypi/simple/x/", UrlTarget("/pypi/simple/x/")),
        ("http://127.0.0.1:1/a?b=c", UrlTarget("http://127.0.0.1:1/a?b=c")),
    ],
)
def test_a_target_is_a_repository_or_a_url(text: str, target: Any) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "org/name",
        "hf:",
        "hf:a/b/c",
        "hf:../name",
        "hf:org/na me",
        "hf:org--x/name",
        "hf:org/name@",
        "hf:org/name@a..b",
        "hf:org/name@a b",
        "ftp://host/x",
        "/with space",
        "http://host/\n",
    ],
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_target(text)


def test_paths_are_those_of_the_hub() -> None:
    target = repository("datasets", "org/name", "refs/pr/1")
    assert target.info_path == "/api/datasets/org/name/revision/refs%2Fpr%2F1"
    assert target.tree_path(COMMIT) == f"/api/datasets/org/name/tree/{COMMIT}?recursive=true&expand=false"
    assert target.file_path(COMMIT, "a b/ü#") == f"/datasets/org/name/resolve/{COMMIT}/a%20b/%C3%BC%23"
    assert str(target) == "hf:datasets/org/name@refs/pr/1"


def test_a_path_is_at_the_node_and_a_url_where_it_says() -> None:
    assert UrlTarget("/a").url("http://edge:1/") == "http://edge:1/a"
    assert UrlTarget("http://other/a").url("http://edge:1") == "http://other/a"


SITES = Config(
    site=[
        Site(name="files", origin="http://o/", mount="/"),
        Site(name="first", kind="huggingface", mount="/hub"),
        Site(name="byhost", kind="huggingface", hosts=["hub.example"]),
    ]
)


@pytest.mark.parametrize(
    ("config", "name", "place"),
    [
        (Config(), "hf", Place("http://edge:1/hf")),
        (SITES, "hf", Place("http://edge:1/hub")),
        (SITES, "first", Place("http://edge:1/hub")),
        (SITES, "byhost", Place("http://edge:1", "hub.example")),
    ],
)
def test_a_hub_is_found_by_its_name_or_as_the_first(config: Config, name: str, place: Place) -> None:
    assert hub_place(config, name, "http://edge:1") == place


@pytest.mark.parametrize("name", ["files", "absent"])
def test_what_is_no_hub_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="configured: first, byhost"):
        hub_place(SITES, name, "http://edge:1")


@pytest.mark.parametrize(
    ("path", "include", "exclude", "wanted"),
    [
        ("a.json", [], [], True),
        ("a.json", ["*.json"], [], True),
        ("a.bin", ["*.json", "*.safetensors"], [], False),
        ("a.json", ["*.json"], ["a.*"], False),
        ("onnx/deep/a.json", ["onnx/"], [], True),
        ("onnx/a.json", [], ["onnx/"], False),
        ("A.JSON", ["*.json"], [], False),
    ],
)
def test_files_are_chosen_by_patterns(path: str, include: Any, exclude: Any, wanted: bool) -> None:
    assert is_wanted(path, include, exclude) is wanted


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (
            "https://hub.example/up/acme/x/resolve/main/f?download=true",
            "/hf/acme/x/resolve/main/f?download=true",
        ),
        ("https://hub.example/other", "https://hub.example/other"),
        ("hf:acme/x", "/hf/api/models/acme/x/revision/main"),
        ("hf:datasets/acme/x@refs/pr/1", "/hf/api/datasets/acme/x/revision/refs%2Fpr%2F1"),
        ("mirror:acme/x", "http://mirror.example/api/models/acme/x/revision/main"),
        ("/hf/acme/x", "/hf/acme/x"),
        ("http://node:8080/hf/acme/x", "http://node:8080/hf/acme/x"),
        ("no such thing", "no such thing"),
    ],
)
def test_what_stands_in_a_hubs_pages_is_asked_for_at_the_node(text: str, asked: str) -> None:
    hub = {"kind": "huggingface", "endpoint": "https://hub.example/up/"}
    config = Config(
        site=[
            Site(name="hf", mount="/hf", **hub),
            Site(
                name="mirror",
                kind="huggingface",
                mount="",
                hosts=["mirror.example"],
                endpoint="https://m.example",
            ),
        ]
    )
    assert as_asked(config, text) == asked
