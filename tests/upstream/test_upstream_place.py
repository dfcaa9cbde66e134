import pytest

from edgeproxy.errors import ConfigurationError
from edgeproxy.upstream.place import place_of


@pytest.mark.parametrize(
    ("url", "authority", "prefix"),
    [
        ("http://up", "up", ""),
        ("https://UP.example:8443/", "up.example:8443", ""),
        ("https://up.example:443/a/b/", "up.example", "/a/b"),
        ("http://[::1]:80", "[::1]", ""),
        ("http://127.0.0.1:9/x", "127.0.0.1:9", "/x"),
    ],
)
def test_a_url_is_a_place_and_a_prefix(url: str, authority: str, prefix: str) -> None:
    origin, path = place_of(url, "parent.up.url")
    assert (origin.authority, path) == (authority, prefix)


@pytest.mark.parametrize(
    "url", ["up:80", "ftp://up", "http://", "http://up:99999", "http://up:0", "http://[::1"]
)
def test_what_is_no_place_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        place_of(url, "parent.up.url")
    assert caught.value.path == "parent.up.url"
