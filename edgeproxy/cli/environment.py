"""Variables that point clients at the node. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec.structs import replace

from edgeproxy.address import is_loopback, parse_address
from edgeproxy.config import Config, Listen, Site
from edgeproxy.storage.directory import directory_path


def node_url(listen: Listen) -> str | None:
    """Where clients of this machine find the node: the first TCP address with a known port, without TLS
    if there is one."""
    for scheme, addresses in (("http", listen.http), ("https", listen.https)):
        for text in addresses:
            address = parse_address(text)
            if address.path or address.port == 0:
                continue
            if address.is_wildcard:
                return f"{scheme}://{'[::1]' if ':' in address.host else '127.0.0.1'}:{address.port}"
            return f"{scheme}://{address}"
    return None


def proxy_url(listen: Listen) -> str | None:
    """Where clients of this machine find the node as their proxy: as `node_url`, with listen.proxy first."""
    own = node_url(replace(listen, http=listen.proxy, https=[])) if listen.proxy else None
    return own or node_url(listen)


def certificate_to_trust(config: Config, url: str) -> str:
    """The file of the node's own certificate, which no client trusts by itself; "" if it has none."""
    if not config.tls.self_signed or not url.startswith("https:"):
        return ""
    from edgeproxy.serving.self_signed import files_in  # it loads what most nodes do not need

    return files_in(directory_path(config.cache.directory)).certificate


def with_user(url: str, users: Sequence[str]) -> str:
    """The URL with the first of `users` ("name:password"), for clients that have to show one."""
    parts = urlsplit(url)
    if not users or "@" in parts.netloc:
        return url
    name, _, password = users[0].partition(":")
    user = f"{quote(name, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc}"))


def without_user(url: str) -> str:
    """The URL for people and for what asks nobody who they are."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def site_url(url: str, site: Site) -> str:
    """The site's own URL at a node, without a slash at the end."""
    return url.rstrip("/") + site.mount.rstrip("/")


def variables(config: Config, url: str) -> dict[str, str]:
    """What to set so that clients use the node at `url`, for the kinds of site that are configured.

    The first site of a kind is used: several indexes at once would let a name be taken from either."""
    found: dict[str, str] = {}
    parts = urlsplit(url)
    for site in reversed(config.site):
        place = site_url(url, site)
        if site.kind == "python-index":
            found |= dict.fromkeys(("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"), f"{place}/simple/")
        elif site.kind == "huggingface":
            found["HF_ENDPOINT"] = place
    if "PIP_INDEX_URL" in found and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        found["PIP_TRUSTED_HOST"] = parts.netloc.rpartition("@")[2]
    trusted = certificate_to_trust(config, url)
    if "PIP_INDEX_URL" in found and trusted:
        found["PIP_CERT"] = trusted
    return found


# Each client looks at another one; those that are set replace what it trusts, so it is the bundle they name.
_TRUST = (
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO"),
    *("NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"),
    *("DENO_CERT", "HTTPLIB2_CA_CERTS", "NIX_SSL_CERT_FILE", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"),
)
_UNPROXIED = ("localhost", "127.0.0.1", "::1")
IMAGE_BUNDLE = "/etc/ssl/edgeproxy-bundle.pem"  # where images are given it


def proxied(url: str, bundle: str, directly: str = "") -> dict[str, str]:
    """What to set so that clients go through the node at `url` and know nothing else of it; `bundle` is the
    file of whom they trust, "" where no host is answered under its own name. `directly` are hosts that they
    went to without a proxy before, and still do; "*" says nothing of a host."""
    kept = [host for host in (part.strip() for part in directly.split(",")) if host not in ("", "*")]
    found = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), url)
    found |= dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(dict.fromkeys((*_UNPROXIED, *kept))))
    return found | (dict.fromkeys(_TRUST, bundle) if bundle else {})


CA_HELP = "Certificate of the node's authority, where the node is on another machine or has its own --config."
SHELLS = ("sh", "fish", "powershell", "dotenv", "docker", "github-actions", "pip.conf", "uv.toml")


def rendered(values: Mapping[str, str], shell: str) -> str:
    """Lines that set the variables in a shell of SHELLS, or in a file of that kind. Raises KeyError where the
    file has no place for what they say."""
    match shell:
        case "pip.conf":
            return "[global]\n" + "".join(f"{key} = {value}\n" for key, value in _pip(values).items())
        case "uv.toml":
            return _uv(values)
        case _:
            return "".join(f"{_line(name, value, shell)}\n" for name, value in values.items())


def in_image(bundle: str) -> str:
    """Lines of a Dockerfile before those that set variables: the bundle is a file of this machine."""
    return (
        f"# beside the Dockerfile: cp {bundle} edgeproxy-bundle.pem\n"
        f"COPY edgeproxy-bundle.pem {IMAGE_BUNDLE}\n"
    )


def _pip(values: Mapping[str, str]) -> dict[str, str]:
    names = {
        "index-url": "PIP_INDEX_URL",
        "trusted-host": "PIP_TRUSTED_HOST",
        "cert": "PIP_CERT",
        "proxy": "HTTPS_PROXY",
    }
    return {key: values[name] for key, name in names.items() if name in values}


def _uv(values: Mapping[str, str]) -> str:
    """uv takes a proxy and whom to trust from variables only."""
    place = json.dumps(values["UV_DEFAULT_INDEX"])
    return f"[[index]]\nurl = {place}\ndefault = true\n"


def _line(name: str, value: str, shell: str) -> str:
    if shell == "fish":
        return f"set -gx {name} '" + re.sub(r"(['\\])", r"\\\1", value) + "'"
    if shell == "powershell":
        return f"$env:{name} = '" + value.replace("'", "''") + "'"
    if shell == "docker":
        return f"ENV {name}={json.dumps(value)}"
    if shell == "github-actions":  # for >> "$GITHUB_ENV", which knows no quotes
        return f"{name}={value}"
    quoted = (
        value if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", value) else "'" + value.replace("'", "'\\''") + "'"
    )
    return f"{name}={quoted}" if shell == "dotenv" else f"export {name}={quoted}"
