"""From the census of the core to totals of the corpus: exact where everything was read, else with a 90 % interval.

A stratum holds files of one kind and about one size. Amounts of text follow the size of a file and are scaled by bytes
(ratio estimate), numbers of documents by the number of files, both with the variance of the files that were read
(Cochran, Sampling Techniques, chapters 5 and 6). Strata of which fewer than two files were read are joined to their
neighbour. Nothing is drawn at random here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Z90: Final = 1.645
"""Standard errors to each side of a 90 % interval."""

_RECORDS: Final = ("jsonl", "csv", "json", "mbox")
_BY_COUNT: Final = ("documents", "skipped", "failed")
_OF_ALL: Final = (*_BY_COUNT, "text_bytes")
"""Counted of every document of a file that is read, also where only some are encoded."""

_NOT_SCALED: Final = ("duplicates", "near_duplicates")
"""A sample holds both of two equal documents far less often than one of them: what was met is all that is known."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, and between what it lies."""

    value: float
    low: float
    high: float
    exact: bool = False
    """Counted, not estimated: all three are equal."""

    def scaled(self, share: float) -> Amount:
        """A part of it, estimated."""
        return Amount(self.value * share, self.low * share, self.high * share)

    def to_json(self) -> dict[str, Any]:
        """Whole numbers."""
        return {"value": round(self.value), "low": round(self.low), "high": round(self.high), "exact": self.exact}


def exactly(value: float) -> Amount:
    """A counted number."""
    return Amount(value, value, value, exact=True)


def about(value: float, variance: float, least: float = 0.0) -> Amount:
    """An estimate; never below what was seen."""
    half = Z90 * math.sqrt(max(0.0, variance))
    return Amount(value, max(least, value - half), value + half)


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum; intervals of different things add up in squares."""
    parts = list(amounts)
    value = sum(part.value for part in parts)
    down = math.sqrt(sum((part.value - part.low) ** 2 for part in parts))
    up = math.sqrt(sum((part.high - part.value) ** 2 for part in parts))
    return Amount(value, value - down, value + up, exact=all(part.exact for part in parts))


@dataclass(slots=True)
class _Group:
    """One stratum, or several that were joined."""

    kinds: set[str]
    size_class: int
    files: float
    bytes: float
    read: float
    read_bytes: float
    bytes_squared: float
    sums: list[float]
    squares: list[float]
    products: list[float]
    variance: list[float]
    tokens: list[tuple[float, float]]
    chunks: list[tuple[float, float]]
    members: list[tuple[str, int]]
    partly: bool

    @property
    def thin(self) -> bool:
        return self.read < min(2, self.files)

    @property
    def whole(self) -> bool:
        return self.read >= self.files

    def join(self, other: _Group) -> None:
        self.kinds |= other.kinds
        self.members += other.members
        self.partly |= other.partly
        self.files += other.files
        self.bytes += other.bytes
        self.read += other.read
        self.read_bytes += other.read_bytes
        self.bytes_squared += other.bytes_squared
        for mine, theirs in (
            (self.sums, other.sums), (self.squares, other.squares), (self.products, other.products),
            (self.variance, other.variance),
        ):  # fmt: skip
            mine[:] = [a + b for a, b in zip(mine, theirs, strict=True)]
        self.tokens = self.tokens + other.tokens
        self.chunks = self.chunks + other.chunks

    def amount(self, at: int, name: str) -> Amount:
        """Of one quantity over all files of the group."""
        seen, inside = self.sums[at], self.variance[at]
        if self.whole:
            return about(seen, inside) if self.partly and name not in _OF_ALL else exactly(seen)
        if self.read < 1:
            return exactly(0.0)
        left_out = 1 - self.read / self.files
        scale = self.files * self.files * left_out / self.read / max(1.0, self.read - 1)
        by_count = name in _BY_COUNT and not self.kinds <= set(_RECORDS)
        if self.read_bytes > 0 and not by_count:
            ratio = seen / self.read_bytes
            spread = self.squares[at] - 2 * ratio * self.products[at] + ratio * ratio * self.bytes_squared
            value = ratio * self.bytes
        else:
            spread = self.squares[at] - seen * seen / self.read
            value = seen * self.files / self.read
        return about(value, scale * max(0.0, spread) + inside * self.files / self.read, seen)

    def weight(self) -> float:
        """How many documents one that was read stands for."""
        if self.whole or self.read < 1:
            return 1.0
        if self.kinds <= set(_RECORDS) and self.read_bytes:
            return self.bytes / self.read_bytes
        return self.files / self.read


@dataclass(frozen=True, slots=True)
class Reason:
    """Why inputs are not processed: how many, and one of them."""

    status: str
    name: str
    count: Amount
    example: str
    detail: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """A census, scaled to all files. Amounts are of what has to be read; unchanged inputs stand apart."""

    files: int
    bytes: int
    to_read: int
    read: int
    to_read_bytes: int
    read_bytes: int
    complete: bool
    sampled: bool
    partly: bool
    kinds: Mapping[str, tuple[int, int]]
    amounts: Mapping[str, Amount]
    reasons: Sequence[Reason]
    unread: int
    unchanged_files: int
    unchanged: Mapping[str, int]
    tokens: Sequence[tuple[float, float]]
    """Prompt tokens of a document and how many documents have about as many, ascending."""
    chunks: Sequence[tuple[float, float]]
    """The same for chunks, of documents that have several."""
    longest: tuple[int, str] | None
    near_example: Mapping[str, Any] | None
    not_compared: int
    duplicates_cut: bool

    @property
    def exact(self) -> bool:
        """Every number was counted."""
        return not (self.sampled or self.partly)

    @property
    def inputs(self) -> Amount:
        """All of them, however they will end."""
        counted = [self.amounts[name] for name in ("documents", "skipped", "failed")]
        return total([*counted, exactly(self.unread + sum(self.unchanged.values()))])

    def to_json(self) -> dict[str, Any]:
        """For `plan --json`. Numbers that can be estimates say between what they lie and whether they are exact."""
        return {
            "exact": self.exact,
            "files": {
                "found": self.files, "bytes": self.bytes, "unchanged": self.unchanged_files, "to_read": self.to_read,
                "to_read_bytes": self.to_read_bytes, "read": self.read, "read_bytes": self.read_bytes,
            },
            "kinds": {kind: {"files": files, "bytes": size} for kind, (files, size) in self.kinds.items()},
            "inputs": self.inputs.to_json(),
            "unchanged": dict(self.unchanged),
            **{name: amount.to_json() for name, amount in self.amounts.items()},
            "reasons": [
                {"status": row.status, "reason": row.name, "count": row.count.to_json(), "example": row.example,
                 "detail": row.detail}
                for row in self.reasons
            ],
            "tokens_of_a_document": {
                "median": self.quantile(0.5), "p95": self.quantile(0.95),
                "longest": self.longest[0] if self.longest else None,
                "longest_source": self.longest[1] if self.longest else None,
            },
            "near_duplicate_example": self.near_example,
            "documents_not_compared": self.not_compared,
            "duplicates_complete": not self.duplicates_cut,
        }  # fmt: skip

    def smallest_share(self, documents: float) -> float:
        """Share of all tokens that the smallest so many documents have."""
        left, tokens = documents, 0.0
        for each, weight in self.tokens:
            tokens += each * min(left, weight)
            left = max(0.0, left - weight)
        everything = sum(each * weight for each, weight in self.tokens)
        return tokens / everything if everything else 0.0

    def quantile(self, share: float) -> float | None:
        """Tokens of the document below which this share of all documents lies."""
        wanted = share * sum(weight for _, weight in self.tokens)
        passed = 0.0
        for tokens, weight in self.tokens:
            passed += weight
            if passed >= wanted:
                return tokens
        return None


def corpus(census: Mapping[str, Any]) -> Corpus:
    """Scales a census (`Core.counted`)."""
    groups = _groups(census["strata"])
    names: list[str] = census["quantities"]
    amounts = {
        name: exactly(sum(group.sums[at] for group in groups))
        if name in _NOT_SCALED
        else total(group.amount(at, name) for group in groups)
        for at, name in enumerate(names)
    }
    strata, kinds = census["strata"], census["kinds"]
    read = sum(stratum["read"] for stratum in strata)
    to_read = max(read, sum(stratum["files"] for stratum in strata))
    return Corpus(
        files=sum(files for files, _ in kinds.values()),
        bytes=sum(size for _, size in kinds.values()),
        to_read=to_read,
        read=read,
        to_read_bytes=sum(stratum["bytes"] for stratum in strata),
        read_bytes=sum(stratum["read_bytes"] for stratum in strata),
        complete=census["complete"],
        sampled=read < to_read,
        partly=any(stratum["partly"] for stratum in strata),
        kinds={name: (files, size) for name, (files, size) in kinds.items()},
        amounts=amounts,
        reasons=_reasons(census["reasons"], groups),
        unread=sum(reason["count"] for reason in census["reasons"] if reason["kind"] is None),
        unchanged_files=census["unchanged_files"],
        unchanged=census["unchanged"],
        tokens=_weighted(groups, "tokens"),
        chunks=_weighted(groups, "chunks"),
        longest=tuple(census["longest"]) if census["longest"] else None,
        near_example=census["near_example"],
        not_compared=census["not_compared"],
        duplicates_cut=census["duplicates_cut"],
    )


def _groups(strata: Sequence[Mapping[str, Any]]) -> list[_Group]:
    groups = [
        _Group(
            kinds={stratum["kind"]},
            size_class=stratum["size_class"],
            files=max(stratum["files"], stratum["read"]),
            bytes=max(stratum["bytes"], stratum["read_bytes"]),
            read=stratum["read"],
            read_bytes=stratum["read_bytes"],
            bytes_squared=stratum["bytes_squared"],
            sums=list(stratum["sums"]),
            squares=list(stratum["squares"]),
            products=list(stratum["products"]),
            variance=list(stratum["variance"]),
            tokens=[(value, weight) for value, weight in stratum["tokens"]],
            chunks=[(value, weight) for value, weight in stratum["chunks"]],
            members=[(stratum["kind"], stratum["size_class"])],
            partly=stratum["partly"],
        )
        for stratum in strata
        if stratum["files"] or stratum["read"]
    ]
    while thin := next((group for group in groups if group.thin), None):
        others = [group for group in groups if group is not thin]
        if not others:
            break
        near = min(others, key=lambda group: (not group.kinds & thin.kinds, abs(group.size_class - thin.size_class)))
        near.join(thin)
        groups.remove(thin)
    return groups


def _weighted(groups: Sequence[_Group], name: str) -> list[tuple[float, float]]:
    joined: dict[float, float] = {}
    for group in groups:
        weight = group.weight()
        for value, count in getattr(group, name):
            joined[value] = joined.get(value, 0.0) + weight * count
    return sorted(joined.items())


def _reasons(reasons: Sequence[Mapping[str, Any]], groups: Sequence[_Group]) -> list[Reason]:
    """One row a status and class, largest first; counts of a stratum stand for the files of it that were not read."""
    weights = {member: group.weight() for group in groups for member in group.members}
    counts: dict[tuple[str, str], list[Amount]] = {}
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    for reason in reasons:
        key = (reason["status"], reason["class"])
        weight = 1.0 if reason["kind"] is None else weights[(reason["kind"], reason["size_class"])]
        count = reason["count"]
        # Each as if drawn by itself: the variance of a count in a sample.
        counts.setdefault(key, []).append(
            exactly(count) if weight <= 1 else about(count * weight, count * weight * (weight - 1), count)
        )
        first.setdefault(key, reason)
    rows = [
        Reason(status, name, total(counts[status, name]), first[status, name]["example"], first[status, name]["reason"])
        for status, name in counts
    ]
    return sorted(rows, key=lambda row: (row.status, -row.count.value, row.name))
