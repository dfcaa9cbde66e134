"""Sizes ("64MiB", "1GB", "512KiB") and durations ("10s", "500ms", "2m", "1h", "7d") as people write them."""

from __future__ import annotations

import re

_SIZES: dict[str, int] = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_DURATIONS: dict[str, float] = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

# ASCII digits only and few of them: int() and float() would take far more than a person means.
_NUMBER_UNIT = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,9}))? ?([A-Za-z]{0,3})")


def parse_size(text: str) -> int:
    """Bytes. Raises ValueError with one line that names the units."""
    matched = _NUMBER_UNIT.fullmatch(text)
    factor = _SIZES.get(matched[3].lower()) if matched else None
    if matched is None or factor is None:
        raise ValueError(f'{text!r} is not a size: write bytes, or "512KiB", "64MiB", "1GB"')
    fraction = matched[2] or ""
    return int(matched[1]) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError with one line that names the units."""
    matched = _NUMBER_UNIT.fullmatch(text)
    factor = _DURATIONS.get(matched[3]) if matched else None
    if matched is None or factor is None:
        raise ValueError(f'{text!r} is not a duration: write seconds, or "500ms", "10s", "2m", "1h", "7d"')
    number = float(f"{matched[1]}.{matched[2] or 0}")
    return number / 1000 if matched[3] == "ms" else number * factor


def format_size(size: int) -> str:
    """The shortest exact way to write `size`: the largest binary unit that divides it."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _SIZES[unit.lower()]
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def format_duration(seconds: float) -> str:
    """The shortest exact way to write `seconds`: the largest unit that divides it."""
    milliseconds = round(seconds * 1000)
    for unit, factor in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % factor == 0:
            return f"{milliseconds // factor}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"
