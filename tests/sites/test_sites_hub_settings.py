from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeproxy import config
from edgeproxy.errors import ConfigurationError
from edgeproxy.sites.hub_settings import Hub, hub
from edgeproxy.sites.site import SiteContext


def built(context: SiteContext, **options: Any) -> Hub:
    return hub(config.Site(name="hf", kind="huggingface", **options), context)


def test_the_public_hub_is_not_followed_into_private_networks(
    context: SiteContext,
) -> None:
    found = built(context)
    assert found.url == "https://huggingface.co"
    assert {"huggingface.co", ".hf.co"} <= found.redirects
    assert not found.reach.private_addresses
    assert found.authorization == ""


def test_a_hub_on_this_machine_may_redirect_to_this_machine(context: SiteContext) -> None:
    found = built(context, endpoint="http://127.0.0.1:9200/x/")
    assert found.url == "http://127.0.0.1:9200/x"
    assert {"127.0.0.1", "127.0.0.2", "localhost"} <= found.redirects
    assert found.reach.private_addresses
    assert not built(context, endpoint="http://10.0.0.1").redirects & {"127.0.0.1", "10.0.0.2"}


def test_further_hosts_are_configured(context: SiteContext) -> None:
    assert ".cdn.example" in built(context, content_hosts=[".cdn.example"]).redirects
    for host in ("https://cdn.example", "CDN.example", ""):
        with pytest.raises(ConfigurationError):
            built(context, content_hosts=[host])


def test_the_token_may_lie_in_a_file_and_is_shown_nowhere(context: SiteContext, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("hf_secret\n")
    found = built(context, token_file=str(file))
    assert found.authorization == "Bearer hf_secret"
    assert "hf_secret" not in repr(found)


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": "ftp://hub.example"},
        {"endpoint": "https://hub.example/?x"},
        {"endpoint": "https://u:secret@hub.example"},
        {"token": "a secret"},
        {"token": "a", "token_file": "b"},
        {"token_file": "/nonexistent"},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_without_repeating_secrets(
    context: SiteContext, options: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        built(context, **options)
    assert "secret" not in str(caught.value)
