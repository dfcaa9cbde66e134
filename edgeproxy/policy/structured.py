"""Structured Fields (RFC 9651): dictionaries in, tokens and strings out.

Only what the cache needs: a dictionary of bare items and inner lists. Parameters are checked and
dropped. A field with any error is no field at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Token:
    """A token, told apart from a string."""

    text: str


Item: TypeAlias = "int | float | bool | str | bytes | Token | tuple[Item, ...]"

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*", re.ASCII)
_NUMBER = re.compile(r"-?(?:([0-9]{1,12})\.([0-9]{1,3})|([0-9]{1,15}))(?![0-9.])", re.ASCII)
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"', re.ASCII)
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*", re.ASCII)
_BYTES = re.compile(r":[A-Za-z0-9+/=]*:", re.ASCII)
_DATE = re.compile(r"@-?[0-9]{1,15}(?![0-9.])", re.ASCII)
_DISPLAY = re.compile(r'%"(?:[ !#$&-~]|%[0-9a-f]{2})*"', re.ASCII)
_BOOLEAN = re.compile(r"\?[01]", re.ASCII)
_SPACES = re.compile(r" *", re.ASCII)
_OWS = re.compile(r"[ \t]*", re.ASCII)


class _Malformed(Exception):
    """Never leaves this module."""


class _Parser:
    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def accept(self, sign: str) -> bool:
        found = self.text.startswith(sign, self.at)
        self.at += len(sign) if found else 0
        return found

    def key(self) -> str:
        match = self.take(_KEY)
        if match is None:
            raise _Malformed
        return match.group()

    def bare_item(self) -> Item:
        if (match := self.take(_NUMBER)) is not None:
            return int(match.group()) if match[3] is not None else float(match.group())
        if (match := self.take(_STRING)) is not None:
            return re.sub(r"\\(.)", r"\1", match[1])
        if (match := self.take(_BOOLEAN)) is not None:
            return match.group() == "?1"
        if (match := self.take(_TOKEN)) is not None:
            return Token(match.group())
        if (match := self.take(_BYTES) or self.take(_DATE) or self.take(_DISPLAY)) is not None:
            return match.group().encode("ascii")
        raise _Malformed

    def parameters(self) -> None:
        while self.accept(";"):
            self.take(_SPACES)
            self.key()
            if self.accept("="):
                self.bare_item()

    def member(self) -> Item:
        if not self.accept("("):
            value = self.bare_item()
            self.parameters()
            return value
        items: list[Item] = []
        while True:
            self.take(_SPACES)
            if self.accept(")"):
                self.parameters()
                return tuple(items)
            items.append(self.bare_item())
            self.parameters()
            if self.text[self.at : self.at + 1] not in (" ", ")"):
                raise _Malformed

    def dictionary(self) -> dict[str, Item]:
        members: dict[str, Item] = {}
        self.take(_SPACES)
        while self.at < len(self.text):
            key = self.key()
            members.pop(key, None)
            if self.accept("="):
                members[key] = self.member()
            else:
                members[key] = True
                self.parameters()
            self.take(_OWS)
            if self.at == len(self.text):
                break
            if not self.accept(","):
                raise _Malformed
            self.take(_OWS)
            if self.at == len(self.text):
                raise _Malformed
        return members


def parse_dictionary(text: str) -> dict[str, Item] | None:
    """The members of a dictionary field (all lines joined with ", "); None if it is malformed."""
    try:
        return _Parser(text.rstrip(" ")).dictionary()
    except _Malformed:
        return None


def split_list(text: str) -> list[str]:
    """The members of a plain comma-separated list without the spaces around them, empty ones left
    out (RFC 9110 section 5.6.1). Linear in the text, which a pattern for ` , ` would not be."""
    return [member for part in text.split(",") if (member := part.strip(" \t"))]


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def render_string(text: str) -> str:
    """A quoted string; what it cannot hold becomes "?"."""
    plain = "".join(character if " " <= character <= "~" else "?" for character in text)
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def render_name(text: str) -> str:
    """A token if the text can be one, else a string."""
    return text if is_token(text) else render_string(text)
