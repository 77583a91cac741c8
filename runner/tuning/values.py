"""What a value of a tuning script says, part by part, and whether what is set now is our own doing. Pure.

Called by system.py before anything is put back.
"""

from collections.abc import Sequence


def parts(value: str) -> dict[str, str]:
    """`governor=powersave,boost=1` as a mapping; a bare word has the empty key, which stands for any."""
    found = {}
    for part in filter(None, value.split(",")):
        key, sign, word = part.rpartition("=")
        found[key if sign else ""] = word
    return found


def explained(current: str, known: Sequence[str], loose: Sequence[str] = ()) -> bool:
    """Whether every part of `current` is a word that one of the `known` values has for it.

    A kill in the middle of a script leaves some parts old and some ours: that is still our own doing.
    `governor.policy0` is also explained by a value for all policies, `governor`. A key of `loose` may have any word:
    the kernel chose it when we set another, and we died before we could read which.
    """
    sources = [parts(value) for value in known]

    def fits(key: str, word: str) -> bool:
        stem = key.partition(".")[0]
        return stem in loose or any(word in (source.get(key), source.get(stem), source.get("")) for source in sources)

    return all(fits(key, word) for key, word in parts(current).items())
