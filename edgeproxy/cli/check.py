"""`edgeproxy check`: validate a configuration and show what it means."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from edgeproxy.cli.options import configured, read
from edgeproxy.cli.rendering import rows, show
from edgeproxy.config import Config, Site
from edgeproxy.configuration.sample import sample
from edgeproxy.storage.directory import directory_path


@click.command()
@configured
@click.option("--sample", "only_sample", is_flag=True, help="Print every option at its default, as TOML.")
def check(config_file: Path | None, settings: tuple[str, ...], only_sample: bool) -> None:
    """Validate the configuration; print the sites and what each maps to. Starts nothing."""
    if only_sample:
        click.echo(sample(), nl=False)
        return
    config = read(config_file, settings)
    _check_certificates(config)
    _build_sites(config)
    way_out = _way_out(config)
    click.echo(f"{config_file or 'defaults'}: ok")
    show(rows(site_rows(config)))
    for line in way_out:
        click.echo(line)
    if config.router.node:
        show(rows(node_rows(config)))


def _check_certificates(config: Config) -> None:
    """Raises ConfigurationError for files that could not be used now. None is made."""
    if not config.tls.certificate:
        return
    from edgeproxy.serving.tls import Sources, load  # it loads what most nodes do not need

    load(Sources(config.tls, directory_path(config.cache.directory)), (), time.time())


def _build_sites(config: Config) -> None:
    """As a node does, without asking anybody: reads what the sites' options name. Raises
    ConfigurationError."""
    from edgeproxy.sites.registry import build_sites  # their libraries are needed by this command only
    from edgeproxy.sites.site import SiteContext
    from edgeproxy.upstream.upstream import Reach

    def nothing(keys: Sequence[str]) -> frozenset[str]:
        return frozenset()

    build_sites(config.site, SiteContext(config.node.name, True, Reach(), time.time, nothing))


def _way_out(config: Config) -> list[str]:
    """How this node would leave its network, started here; tells what of the environment would not be done.
    Raises ConfigurationError."""
    from edgeproxy.upstream.assembly import egress_of  # it loads the client, which only this needs

    out = egress_of(config, lambda line: click.echo(f"edgeproxy: {line}", err=True))
    proxies = dict.fromkeys(proxy.authority for proxy in (out.https, out.http) if proxy is not None)
    direct = ", ".join(("this machine", *out.direct))
    return [f"by the proxy {proxy}: all but {direct}" for proxy in proxies]


def site_rows(config: Config) -> list[dict[str, Any]]:
    """What each site answers and where its requests go."""
    return [
        {
            "site": site.name,
            "kind": site.kind,
            "hosts": site.hosts or "any",
            "path": f"{site.mount.rstrip('/')}/...",
            "upstream": _upstream(site),
            "offline": site.offline or config.node.offline,
        }
        for site in config.site
    ]


def node_rows(config: Config) -> list[dict[str, Any]]:
    """The nodes clients are sent to."""
    return [
        {
            "node": node.name,
            "url": node.url,
            "country": node.country,
            "addresses": node.addresses,
            "state": node.state,
        }
        for node in config.router.node
    ]


def _upstream(site: Site) -> str:
    if site.kind == "python-index":
        first = _without_userinfo(site.index) or "as pip is configured"
        return ", then ".join([first, *map(_without_userinfo, site.upstreams)])
    return _without_userinfo(site.origin) or "see its options"


def _without_userinfo(url: str) -> str:
    """Passwords are not shown."""
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
