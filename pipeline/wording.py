"""How people are told: durations with their unit, sizes, counts with the noun they belong to, how often, in a line."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
LINE_EVERY_S = 10.0  # between two lines of progress where there is no terminal


def duration(seconds: float) -> str:
    """Two units at most, the larger first: ``45 s``, ``12 min 05 s``, ``3 h 20 min``, ``2 days 7 h``, ``25 days``."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    if whole < 10 * _DAY:
        return f"{counted(whole // _DAY, 'day')} {whole % _DAY // _HOUR} h"
    return counted(round(whole / _DAY), "day")


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 shard``, ``2 shards``; ``plural`` where it is not the noun with an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def data_size(num_bytes: float) -> str:
    """``512 bytes``, ``3.2 MiB``, ``1.5 GiB``: three digits at most before the point, in powers of 1024."""
    if num_bytes < 1000:
        return counted(round(num_bytes), "byte")
    value, unit, larger = num_bytes / 1024, "KiB", ["TiB", "GiB", "MiB"]
    while value >= 1000 and larger:
        value, unit = value / 1024, larger.pop()
    return f"{value:.1f} {unit}"


def escaped(text: object) -> str:
    """As it is, but for characters that no terminal should get from a file's name: ``\\n``, ``\\x1b``, ``\\udcff``."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(text))
