"""Tables of what was learned, which forget the oldest first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def remember(table: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    """Note `value` as the newest; of more than `most` the oldest go."""
    table[key] = value
    table.move_to_end(key)
    while len(table) > most:
        table.popitem(last=False)
