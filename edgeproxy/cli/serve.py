"""`edgeproxy serve`: run a node until it is told to end."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edgeproxy import garbage
from edgeproxy.cli.environment import certificate_to_trust, node_url, site_url, variables
from edgeproxy.cli.options import configured, read
from edgeproxy.config import Config
from edgeproxy.configuration.source import wait_settled
from edgeproxy.errors import EdgeError


@click.command()
@configured
@click.option("--offline", is_flag=True, help="Never ask an upstream: serve what is stored.")
def serve(config_file: Path | None, settings: tuple[str, ...], offline: bool) -> int:
    """Serve until SIGTERM or SIGINT, then finish running answers and end."""
    if offline:
        settings = (*settings, "node.offline=true")
    # The node's libraries are needed by this command only.
    from edgeproxy.workers.handover import predecessor

    def again() -> Config:
        if config_file is not None:
            wait_settled(config_file)
        return read(config_file, settings)

    old = predecessor(os.environ)
    try:
        config = read(config_file, settings)
        with garbage.none_while_loading():
            from edgeproxy.process import serve as serve_node
    except EdgeError as error:
        if old is not None:
            old.tell_failed(str(error))
        raise
    if old is None:
        click.echo(hints(config), err=True, nl=False)
    status = serve_node(config, again, old)
    garbage.freeze()  # the interpreter would look through everything again as it ends
    return status


def hints(config: Config) -> str:
    """How to point clients at the node, a line each; ends with a newline unless empty."""
    url = node_url(config.listen)
    if url is None:
        return "the port is chosen by the kernel: see the ready line, then `edgeproxy env --url URL`\n"
    lines = []
    index = variables(config, url).get("PIP_INDEX_URL")
    if index:
        trusted = variables(config, url).get("PIP_TRUSTED_HOST")
        cert = variables(config, url).get("PIP_CERT")
        option = f" --trusted-host {trusted}" if trusted else f" --cert {cert}" if cert else ""
        lines += [
            f"pip: pip install --index-url {index}{option} ...",
            f"uv:  uv pip install --default-index {index} ...",
        ]
    endpoint = variables(config, url).get("HF_ENDPOINT")
    if endpoint:
        lines.append(f"hf:  HF_ENDPOINT={endpoint} hf download ...")
    trusted = certificate_to_trust(config, url)
    if lines and trusted:
        lines.append(f"tls: clients trust the node by SSL_CERT_FILE={trusted}, pip by PIP_CERT")
    if lines:
        lines.append('all: eval "$(edgeproxy env)"')
    lines += [
        f"{site.name}: {site_url(url, site)}/" for site in config.site if site.kind in ("generic", "api")
    ]
    return "".join(f"{line}\n" for line in lines)
