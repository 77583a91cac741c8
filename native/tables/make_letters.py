"""Writes `letters.txt`: how often letters follow each other in 40 languages, for guessing an encoding.

Run by hand (`python native/tables/make_letters.py TEXTS [PROFILES]`), never by a build; `letter_costs.rs` reads the file.
TEXTS holds `<language>.txt`, UTF-8: ours were the translations in Debian 12's message catalogs (three of four programs;
English: man pages). PROFILES, where given, holds pair counts in langdetect's format (Apache-2.0), half the weight.
Each language: a line with its name and letters, then for each class (0: no letter; the letters; any other letter) a line
with the cost of each class after it, in quarter bits, as the character 40 + cost.
"""

import collections
import json
import math
import re
import sys
import unicodedata
from pathlib import Path

LATIN = "en de fr es it pt nl da sv nb fi is et lv lt pl cs sk sl hr hu ro tr sq ca eo ga mt cy vi vi2".split()
OTHERS = "ru uk be bg sr mk el he ar th".split()
PROFILE_NAMES = {"nb": "no"}
NO_PROFILE = {"ro", "vi", "vi2", "th"}  # the profiles fold the letters that matter here, or keep none
TONES = "\u0300\u0309\u0303\u0301\u0323"
# Letters of good spelling that such texts seldom hold.
SELDOM = {
    "fr": "àâæçèéêëîïôùûüœ", "it": "àèéìòóù", "nl": "éëïóöüè", "es": "üñ", "tr": "âîû", "cs": "ďťóů",
    "cy": "âêîôûŵŷïö", "mt": "àèìòùċġħżî", "da": "éæøå", "sv": "éåäö", "pt": "ü", "el": "ΐΰ",
    "vi": "ẳẵẫỷỹỵẻặằỗỡữửỳ", "ca": "ï·", "he": "ְִֵֶַָ",
}  # fmt: skip
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
Pairs = collections.Counter[tuple[str, str]]


def with_tones(text: str) -> str:
    """Tone marks behind their letters, as windows-1258 writes Vietnamese."""
    parts = []
    for whole in text:
        marks = unicodedata.normalize("NFD", whole)
        letter = "".join(mark for mark in marks if mark not in TONES)
        parts.append(unicodedata.normalize("NFC", letter) + "".join(mark for mark in marks if mark in TONES))
    return "".join(parts)


def fold(character: str, language: str) -> str:
    lower = character.lower()
    lower = lower if len(lower) == 1 else "i" if character == "İ" else character
    return {"ţ": "ț", "ş": "ș"}.get(lower, lower) if language == "ro" else lower


def pairs_of(language: str, texts: Path, profiles: Path | None) -> Pairs:
    text = unicodedata.normalize("NFC", (texts / f"{language.rstrip('2')}.txt").read_text(encoding="utf-8"))
    text = with_tones(text) if language == "vi2" else text
    text = "".join(fold(character, language) for character in text)
    words = [word for word in re.split(rf"(?:(?![^\W\d_])[^{MARKS}])+", text) if word]
    if language in OTHERS:
        words = [word for word in words if not word.isascii()]
    pairs: Pairs = collections.Counter()
    for word in words:
        pairs.update(zip(f" {word}", f"{word} ", strict=True))
    profile = profiles and profiles / PROFILE_NAMES.get(language, language)
    if profile and profile.exists() and language not in NO_PROFILE:
        more: Pairs = collections.Counter()
        for gram, count in json.loads(profile.read_text(encoding="utf-8"))["freq"].items():
            if len(gram) == 2 and all(c == " " or unicodedata.category(c)[0] in "LM" for c in gram):
                more[fold(gram[0], language), fold(gram[1], language)] += count
        scale = pairs.total() / more.total()
        for pair, count in more.items():
            pairs[pair] += count * scale
    return pairs


def alphabet(language: str, pairs: Pairs) -> list[str]:
    counts: collections.Counter[str] = collections.Counter()
    for (_, second), count in pairs.items():
        counts[second] += count
    del counts[" "]
    total = counts.total()

    def own(letter: str) -> bool:
        if language in OTHERS:
            return not letter.isascii() and not (language == "bg" and letter in "ыэё")
        return ord(letter) <= 0x250 or ord(letter) >= 0x1E00 or letter in TONES

    often = [c for c, n in counts.most_common() if n / total > 0.0002 or c in SELDOM.get(language, "")]
    letters = {c for c in often if unicodedata.category(c)[0] in "LM" and own(c)}
    return ["a", *sorted(letters)] if language in OTHERS else sorted(letters | set("abcdefghijklmnopqrstuvwxyz"))


def costs(language: str, letters: list[str], pairs: Pairs) -> list[list[int]]:
    index = {" ": 0} | {letter: at + 1 for at, letter in enumerate(letters)}
    size, latin = len(letters) + 2, language in LATIN

    def kind(character: str) -> int:
        return index.get(character, 1 if not latin and character.isascii() else size - 1)

    seen = [[0.0] * size for _ in range(size)]
    for (first, second), count in pairs.items():
        seen[kind(first)][kind(second)] += count
    if not latin:  # words of ASCII were left out: some stand in every text
        some = sum(map(sum, seen)) * 0.002
        seen[0][1], seen[1][1], seen[1][0] = seen[0][1] + some, seen[1][1] + 5 * some, seen[1][0] + some
    total = sum(map(sum, seen))
    column = [max(sum(row[at] for row in seen) / total, 2e-5) for at in range(size)]
    column[-1] = max(column[-1], 2e-4)
    for letter in SELDOM.get(language, ""):
        if letter in index:
            column[index[letter]] = max(column[index[letter]], 3e-4)
    column = [share / sum(column) for share in column]
    doubt = max(30.0, total * 2e-5)  # pairs never seen keep a share of their second letter's frequency
    table = [[(n + doubt * c) / (sum(row) + doubt) for n, c in zip(row, column, strict=True)] for row in seen]
    table[0][0] = 1.0
    bits = [[min(round(-4 * math.log2(share)), 80) for share in row] for row in table]
    if not latin:  # letters of ASCII side by side with the script's own
        for at in range(2, size):
            bits[1][at] = bits[at][1] = 48
    return bits


def main(texts: Path, profiles: Path | None) -> None:
    lines = ["# Generated by make_letters.py; the format and the sources are in its docstring. Do not edit."]
    for language in [*LATIN, *OTHERS]:
        pairs = pairs_of(language, texts, profiles)
        letters = alphabet(language, pairs)
        lines.append(f"{language} {''.join(letters)}")
        lines += ["".join(chr(40 + cost) for cost in row) for row in costs(language, letters, pairs)]
    (Path(__file__).parent / "letters.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
