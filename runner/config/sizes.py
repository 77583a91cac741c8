"""Memory sizes as text: "60GiB", "512MiB", "45%" and "auto". The one place that reads and prints them."""

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(%|[KMGT]iB|B)")
_POWER = {"B": 0, "KiB": 1, "MiB": 2, "GiB": 3, "TiB": 4}
RULE = "write a size as 60GiB, 512MiB, 45% or auto"


def parse_size(text: str, whole: int) -> int | None:
    """Bytes of `text`; a percentage is taken of `whole`; None for "auto". ValueError for anything else."""
    text = text.strip()
    if text == "auto":
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is not a size")
    number, unit = float(match[1]), match[2]
    if unit == "%":
        if number > 100:
            raise ValueError(f"'{text}' is more than 100 %")
        return int(whole * number / 100)
    return int(number * 1024 ** _POWER[unit])


def format_size(count: int) -> str:
    """Bytes for people: "8.0 GiB", "512.0 MiB", "17 B"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if abs(count) >= 1024 ** _POWER[unit]:
            return f"{count / 1024 ** _POWER[unit]:.1f} {unit}"
    return f"{count} B"
