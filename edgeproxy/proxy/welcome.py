"""What the node tells people who want to use it, below /.well-known/edgeproxy: a page, the same as plain text
for one client (?client=pip), a proxy auto-configuration file, and the certificate of the local authority."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from edgeproxy.message import BytesBody, CacheOutcome, Headers, Outcome, Request, Response

BASE = "/.well-known/edgeproxy"
_AUTHORITY = re.compile(r"[a-z0-9._~-]{1,255}(?::[0-9]{1,5})?|\[[0-9a-f:.]{2,45}\](?::[0-9]{1,5})?", re.ASCII)
_FIELDS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
)
_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;"
    "padding:0 1rem}pre{overflow-x:auto;padding:.75rem 1rem;border:1px solid #8886;border-radius:.5rem}"
)


@dataclass(frozen=True, slots=True)
class Welcome:
    """`mounts` are those of the first site of each kind. `ca` is where the certificate of the authority is,
    if there is one; None where there is none to be."""

    mounts: Mapping[str, str]
    ca: Path | None
    is_proxy: bool

    def answer(self, request: Request) -> Response | None:
        if request.method not in ("GET", "HEAD"):
            return None
        place = _AUTHORITY.fullmatch(request.authority)
        url = f"{request.scheme}://{request.authority}" if place else ""
        match request.path.removeprefix(BASE).rstrip("/"):
            case "" if url:
                return self._page(request, url)
            case "/proxy.pac" if url and self.is_proxy:
                text = pac(request.authority, secured=request.scheme == "https")
                return _sent(text, "application/x-ns-proxy-autoconfig")
            case "/ca.pem" if self.ca is not None:
                return _file(self.ca)
            case _:
                return None

    def _page(self, request: Request, url: str) -> Response:
        known = self.clients(url)
        asked = parse_qs(request.query or "").get("client", [""])[0]
        if asked:
            if asked in known:
                return _sent("".join(f"{line}\n" for line in known[asked]), "text/plain; charset=utf-8")
            line = f"no client {asked[:40]!r} is known here; known are {', '.join(known)}\n"
            return _sent(line, "text/plain; charset=utf-8", 404)
        return _sent(_html(known, url), "text/html; charset=utf-8")

    def clients(self, url: str) -> dict[str, list[str]]:
        """Lines for a shell, by client."""
        found: dict[str, list[str]] = {}
        if (mount := self.mounts.get("python-index")) is not None:
            index = f"{url}{mount}/simple/"
            found["pip"] = [f"pip install --index-url {index} PACKAGE", f"export PIP_INDEX_URL={index}"]
            found["uv"] = [f"uv pip install --default-index {index} PACKAGE"]
            found["uv"] += [f"export UV_DEFAULT_INDEX={index}"]
        if (mount := self.mounts.get("huggingface")) is not None:
            found["hf"] = [f"export HF_ENDPOINT={url}{mount}", "hf download REPOSITORY"]
        if self.is_proxy and url.startswith("http:"):
            trust = [f"curl -o edgeproxy-ca.pem {url}{BASE}/ca.pem"] if self.ca is not None else []
            found["curl"] = [*trust, f"curl --proxy {url} --cacert edgeproxy-ca.pem https://HOST/PATH"]
            found["proxy"] = [f"export HTTPS_PROXY={url} HTTP_PROXY={url}", f"# {url}{BASE}/proxy.pac"]
            found["docker"] = [f"docker build --build-arg HTTPS_PROXY={url} --build-arg HTTP_PROXY={url} ."]
        return found


def pac(authority: str, *, secured: bool = False) -> str:
    """A proxy auto-configuration file: through the node, over TLS if `secured`, and directly where it
    cannot be reached."""
    through = f"{'HTTPS' if secured else 'PROXY'} {authority}; DIRECT"
    return (
        "function FindProxyForURL(url, host) {\n"
        '  if (isPlainHostName(host) || host === "127.0.0.1" || host === "[::1]") return "DIRECT";\n'
        f"  return {json.dumps(through)};\n"
        "}\n"
    )


def _html(known: Mapping[str, list[str]], url: str) -> str:
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>edgeproxy at {html.escape(url)}</title><style>{_STYLE}</style>"
        f"<h1>edgeproxy at {html.escape(url)}</h1>"
        "<p>Packages, model files and API responses from near by. On the machine of the node, "
        "<code>edgeproxy run -- COMMAND</code> does everything below for one command.</p>"
    ]
    for name, lines in known.items():
        text = html.escape("\n".join(lines))
        parts.append(f"<h2 id={html.escape(name)}>{html.escape(name)}</h2><pre>{text}</pre>")
    return "".join(parts) + "</html>\n"


def _file(place: Path) -> Response | None:
    try:
        return _sent(place.read_text("ascii"), "application/x-pem-file")  # a kilobyte, and asked for rarely
    except (OSError, ValueError):
        return None


def _sent(text: str, kind: str, status: int = 200) -> Response:
    headers = Headers((("Content-Type", kind), *_FIELDS))
    return Response(status, headers, BytesBody(text.encode()), Outcome(CacheOutcome.LOCAL))
