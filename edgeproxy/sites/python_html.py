"""HTML pages of an index: finding the anchors, changing them in place, and the two conversions.

A page is scanned by one expression for anchors instead of being parsed whole: everything that is not
an anchor stays byte for byte, and the largest pages take a fraction of a second."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

_ATTRIBUTE = r"""[^\s"'<>/=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'=<>`]++))?+"""
_ATTRIBUTES = rf"(?:\s++(?:{_ATTRIBUTE})|\s*+/(?!>))*+"
_ANCHOR = re.compile(
    rf"<a(?=[\s/])({_ATTRIBUTES})\s*+/?>(?:([^<]*+)</a\s*+>(\s*+<br\s*+/?>)?+)?+", re.IGNORECASE
)
_ONE = re.compile(r"""([^\s"'<>/=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s"'=<>`]++))?+""")
_BASE = re.compile(rf"<base(?=[\s/])({_ATTRIBUTES})\s*+/?>", re.IGNORECASE)
_META = re.compile(rf"<meta(?=[\s/])({_ATTRIBUTES})\s*+/?>", re.IGNORECASE)
_HEAD = re.compile(r"<(?:!doctype\s++html|html)\b", re.IGNORECASE)
_VALUE = r"""(?:"[^"]*+"|'[^']*+'|[^\s"'=<>`]++)"""
_SIDECAR = re.compile(rf"\s++data-(?:core|dist-info)-metadata(?:\s*+=\s*+{_VALUE})?+", re.IGNORECASE)
_HREF = re.compile(r"""(\shref\s*+=\s*+)("[^"]*+"|'[^']*+'|[^\s"'=<>`]++)""", re.IGNORECASE)
_HASH = re.compile(r"#(?:.*&)?(md5|sha1|sha224|sha256|sha384|sha512)=([0-9a-fA-F]+)")


@dataclass(frozen=True, slots=True)
class Anchor:
    """One link of a page; attribute names in lower case, values unescaped, None without one."""

    href: str
    text: str
    attributes: Mapping[str, str | None]

    @property
    def hashes(self) -> dict[str, str]:
        return hashes_of(self.href)

    @property
    def sidecar(self) -> str | None:
        """The sidecar's mark as it came: "sha256=<hex>" or "true"; None if there is none."""
        for name in ("data-core-metadata", "data-dist-info-metadata"):
            if name in self.attributes:
                value = self.attributes[name] or "true"
                return None if value == "false" else value
        return None


# What becomes of an anchor: None removes it; else the new href and whether the sidecar marks stay.
Change = Callable[[Anchor], tuple[str, bool] | None]


def is_page(text: str) -> bool:
    return _HEAD.search(text, 0, 65536) is not None


def base_href(text: str) -> str | None:
    matched = _BASE.search(text)
    return _attributes(matched[1]).get("href") if matched else None


def rewrite(text: str, change: Change) -> str:
    """The page with every anchor changed and without its <base>."""

    def changed(matched: re.Match[str]) -> str:
        anchor = _anchor(matched)
        if anchor is None:
            return matched[0]
        wanted = change(anchor)
        if wanted is None:
            return ""
        href, keeps_sidecar = wanted
        attributes = matched[1]
        if href != anchor.href:
            quoted = f'"{html.escape(href)}"'
            attributes = _HREF.sub(lambda found: found[1] + quoted, attributes, count=1)
        if not keeps_sidecar:
            attributes = _SIDECAR.sub("", attributes)
        start = matched.start()
        at = matched.start(1) - start
        return matched[0][:at] + attributes + matched[0][matched.end(1) - start :]

    return _BASE.sub("", _ANCHOR.sub(changed, text))


def anchors(text: str) -> Iterable[Anchor]:
    for matched in _ANCHOR.finditer(text):
        anchor = _anchor(matched)
        if anchor is not None:
            yield anchor


def _anchor(matched: re.Match[str]) -> Anchor | None:
    attributes = _attributes(matched[1])
    href = attributes.get("href")
    if href is None:
        return None
    return Anchor(href.strip(" \t\r\n"), html.unescape(matched[2] or "").strip(" \t\r\n"), attributes)


def _attributes(text: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, value in _ONE.findall(text):
        plain = value[1:-1] if value[:1] in ("'", '"') else value
        found.setdefault(name.lower(), html.unescape(plain) if value else None)
    return found


def hashes_of(href: str) -> dict[str, str]:
    matched = _HASH.search(href)
    return {matched[1]: matched[2].lower()} if matched else {}


def to_document(name: str, text: str, files: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON form of an HTML page. It cannot have `size`, so it is of api-version 1.0."""
    meta: dict[str, Any] = {"api-version": "1.0"}
    document: dict[str, Any] = {"meta": meta, "name": name, "files": files}
    status: dict[str, str] = {}
    for matched in _META.finditer(text):
        attributes = _attributes(matched[1])
        kind, content = attributes.get("name"), attributes.get("content")
        if kind == "pypi:project-status" and content:
            status["status"] = content
        elif kind == "pypi:project-status-reason" and content:
            status["reason"] = content
    if status:
        document["project-status"] = status
    return document


def to_file(anchor: Anchor, url: str) -> dict[str, Any]:
    """One entry of `files`; `url` lacks the fragment."""
    found: dict[str, Any] = {"filename": anchor.text, "url": url, "hashes": anchor.hashes}
    attributes = anchor.attributes
    if attributes.get("data-requires-python") is not None:
        found["requires-python"] = attributes["data-requires-python"]
    if "data-yanked" in attributes:
        found["yanked"] = attributes["data-yanked"] or True
    if "data-gpg-sig" in attributes:
        found["gpg-sig"] = attributes["data-gpg-sig"] == "true"
    if attributes.get("data-provenance"):
        found["provenance"] = attributes["data-provenance"]
    mark = anchor.sidecar
    if mark is not None:
        kind, _, digest = mark.partition("=")
        found["core-metadata"] = {kind: digest} if digest else True
    return found


def from_document(document: Mapping[str, Any], files: Iterable[Mapping[str, Any]]) -> str:
    """The HTML form of a JSON page."""
    name = html.escape(str(document.get("name", "")))
    lines = ["<!DOCTYPE html>", "<html>", "  <head>"]
    lines.append('    <meta name="pypi:repository-version" content="1.4">')
    status = document.get("project-status")
    if isinstance(status, dict):
        for key, kind in (("status", "pypi:project-status"), ("reason", "pypi:project-status-reason")):
            if isinstance(status.get(key), str):
                lines.append(f'    <meta name="{kind}" content="{html.escape(status[key])}">')
    lines += [
        f"    <title>Links for {name}</title>",
        "  </head>",
        "  <body>",
        f"    <h1>Links for {name}</h1>",
    ]
    lines.extend(_anchor_line(file) for file in files)
    lines += ["  </body>", "</html>", ""]
    return "\n".join(lines)


def _anchor_line(file: Mapping[str, Any]) -> str:
    hashes = file.get("hashes")
    fragment = ""
    if isinstance(hashes, dict) and hashes:
        kind = "sha256" if "sha256" in hashes else sorted(hashes)[0]
        fragment = f"#{kind}={hashes[kind]}"
    attributes = [f'href="{html.escape(str(file["url"]) + fragment)}"']
    requires = file.get("requires-python")
    if isinstance(requires, str):
        attributes.append(f'data-requires-python="{html.escape(requires)}"')
    yanked = file.get("yanked", False)
    if yanked is not False and yanked is not None:
        attributes.append(f'data-yanked="{html.escape(yanked) if isinstance(yanked, str) else ""}"')
    if isinstance(file.get("gpg-sig"), bool):
        attributes.append(f'data-gpg-sig="{str(file["gpg-sig"]).lower()}"')
    if isinstance(file.get("provenance"), str):
        attributes.append(f'data-provenance="{html.escape(file["provenance"])}"')
    mark = sidecar_mark(file)
    if mark:
        text = "true" if mark is True else html.escape(_first_hash(mark))
        attributes += [f'data-{name}-metadata="{text}"' for name in ("dist-info", "core")]
    return f"    <a {' '.join(attributes)}>{html.escape(str(file['filename']))}</a><br />"


def sidecar_mark(file: Mapping[str, Any]) -> dict[str, str] | Literal[True] | None:
    """The mark of a JSON entry under any of its names: hashes, True, or None without one."""
    for key in ("core-metadata", "dist-info-metadata", "data-dist-info-metadata"):
        value = file.get(key)
        if value is True:
            return True
        if isinstance(value, dict) and value and all(isinstance(item, str) for item in value.values()):
            return value
        if isinstance(value, dict):
            return True
    return None


def _first_hash(hashes: Mapping[str, str]) -> str:
    kind = "sha256" if "sha256" in hashes else min(hashes)
    return f"{kind}={hashes[kind]}"
