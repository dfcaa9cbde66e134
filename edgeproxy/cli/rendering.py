"""Dictionaries of the admin API as tables for people. Names tell units: `_bytes`, `_seconds`, `_ratio`, and
`_time` (seconds since 1970)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text


def show(content: RenderableType) -> None:
    """Print to standard output; without colours when that is no terminal."""
    Console(highlight=False, soft_wrap=False).print(content)


def sections(content: Mapping[str, Any]) -> RenderableType:
    """Every entry under its name: a dictionary as two columns, a list of flat dictionaries as a table."""
    plain = {name: value for name, value in content.items() if not _is_nested(value)}
    parts: list[RenderableType] = [pairs(plain)] if plain else []
    for name, value in content.items():
        if _is_nested(value):
            parts += [Text(f"\n{_words(name)}", style="bold"), _nested(value)]
    return Group(*parts)


def pairs(content: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in content.items():
        table.add_row(_words(name), Text(cell(name, value)))
    return table


def rows(content: Iterable[Mapping[str, Any]]) -> Table:
    """One row each; the columns are the names that appear, in the order of their first use."""
    items = list(content)
    names = list(dict.fromkeys(name for item in items for name in item))
    table = Table(box=None, header_style="cyan", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(_words(name), overflow="fold")
    for item in items:
        table.add_row(*(Text(cell(name, item.get(name, ""))) for name in names))
    return table


def cell(name: str, value: Any) -> str:
    """One value as text, in the unit its name tells."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() | float() if name.endswith(("_bytes", "_bytes_max")):
            return _size(value)
        case int() | float() if name.endswith("_seconds"):
            return f"{value:,.3f} s" if abs(value) < 10 else f"{value:,.0f} s"
        case int() | float() if name.endswith("_ratio"):
            return f"{100 * value:.1f} %"
        case int() | float() if name.endswith("_time"):
            return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
        case int():
            return f"{value:,}"
        case list():
            return ", ".join(cell("", item) for item in value) or "-"
        case dict():
            return ", ".join(f"{key}={cell(key, item)}" for key, item in value.items()) or "-"
        case _:
            return str(value)


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, dict) for v in value))


def _nested(value: Any) -> RenderableType:
    if isinstance(value, dict):
        return sections(value)
    items = [item for item in value if isinstance(item, dict)]
    if not any(isinstance(part, list | dict) for item in items for part in item.values()):
        return rows(items)
    parts: list[RenderableType] = []
    for item in items:  # too much for a column
        parts += [pairs(item), Text("")]
    return Group(*parts[:-1])


def _words(name: str) -> str:
    for unit in ("_bytes", "_seconds"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def _size(value: float) -> str:
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(value) >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value:.0f} B"
