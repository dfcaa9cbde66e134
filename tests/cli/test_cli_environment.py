import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.cli.environment import node_url, proxied, rendered, variables, with_user, without_user
from edgeproxy.config import Cache, Config, Listen, Site, Tls, default_sites

FILES = Site(name="files", mount="/files", origin="http://127.0.0.1:9000")


@pytest.mark.parametrize(
    ("addresses", "url"),
    [
        (["127.0.0.1:8080"], "http://127.0.0.1:8080"),
        (["unix:/run/e", "[::1]:80"], "http://[::1]:80"),
        (["0.0.0.0:8080"], "http://127.0.0.1:8080"),
        (["[::]:8080"], "http://[::1]:8080"),
        (["127.0.0.1:0"], None),
        (["unix:/run/e"], None),
    ],
)
def test_the_first_usable_address_is_the_nodes_url(addresses: list[str], url: str | None) -> None:
    assert node_url(Listen(http=addresses)) == url


@pytest.mark.parametrize(
    ("url", "users", "expected"),
    [
        ("http://127.0.0.1:8080", [], "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080", ["ada:love"], "http://ada:love@127.0.0.1:8080"),
        ("http://[::1]:80", ["a@b:p:/w d", "other:x"], "http://a%40b:p%3A%2Fw%20d@[::1]:80"),
        ("http://bob:x@edge:80", ["ada:love"], "http://bob:x@edge:80"),
    ],
)
def test_clients_show_the_first_user_unless_the_url_has_one(
    url: str, users: list[str], expected: str
) -> None:
    assert with_user(url, users) == expected
    assert without_user(expected) == url.replace("bob:x@", "")


def test_tls_is_used_where_there_is_nothing_else() -> None:
    both = Listen(http=["127.0.0.1:8080"], https=["127.0.0.1:8443"])
    assert node_url(both) == "http://127.0.0.1:8080"
    assert node_url(Listen(http=[], https=["0.0.0.0:8443"])) == "https://127.0.0.1:8443"
    assert node_url(Listen(http=["127.0.0.1:0"], https=["[::1]:8443"])) == "https://[::1]:8443"


def test_pip_is_told_to_trust_a_certificate_of_the_nodes_own(tmp_path: Path) -> None:
    config = Config(
        site=[default_sites()[0]], tls=Tls(self_signed=True), cache=Cache(directory=str(tmp_path))
    )
    trusted = str(tmp_path / "tls" / "self-signed.pem")
    assert variables(config, "https://127.0.0.1:8443")["PIP_CERT"] == trusted
    assert "PIP_CERT" not in variables(config, "http://127.0.0.1:8080")
    assert "PIP_CERT" not in variables(Config(site=[default_sites()[0]]), "https://127.0.0.1:8443")


def test_only_kinds_that_are_configured_get_variables() -> None:
    assert variables(Config(site=[FILES]), "http://127.0.0.1:8080") == {}
    found = variables(Config(site=[FILES, default_sites()[0]]), "http://127.0.0.1:8080")
    assert set(found) == {"PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"}
    hub = Site(name="hf", kind="huggingface", mount="/hf")
    assert variables(Config(site=[hub]), "http://127.0.0.1:1") == {"HF_ENDPOINT": "http://127.0.0.1:1/hf"}


def test_the_first_index_wins() -> None:
    other = Site(name="other", kind="python-index", mount="/other")
    found = variables(Config(site=[other, default_sites()[0]]), "http://127.0.0.1:1")
    assert set(found.values()) == {"http://127.0.0.1:1/other/simple/"}


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("http://127.0.0.1:8080", None),
        ("http://localhost:8080", None),
        ("http://[::1]:8080", None),
        ("https://edge.example", None),
        ("http://edge.example:8080", "edge.example:8080"),
        ("http://me:secret@10.0.0.1:8080", "10.0.0.1:8080"),
    ],
)
def test_pip_must_trust_plain_http_off_loopback(url: str, trusted: str | None) -> None:
    assert variables(Config(site=[default_sites()[0]]), url).get("PIP_TRUSTED_HOST") == trusted


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30))
def test_no_value_escapes_its_quotes_in_a_shell(value: str) -> None:
    script = rendered({"V": value}, "sh") + 'printf %s "$V"'
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == value


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "localhost,127.0.0.1,::1"),
        (".corp.example, 10.0.0.1", "localhost,127.0.0.1,::1,.corp.example,10.0.0.1"),
        ("localhost,*,", "localhost,127.0.0.1,::1"),
    ],
)
def test_hosts_that_were_asked_directly_still_are(before: str, after: str) -> None:
    found = proxied("http://edge.example:8080", "", before)
    assert (found["NO_PROXY"], found["no_proxy"]) == (after, after)
    assert "PIP_CERT" not in found
