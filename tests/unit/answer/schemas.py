"""Random bounded JSON Schemas, for properties of grammars and lint."""

from typing import Any

from hypothesis import strategies as st

_NAMES = st.text('abcdefgh_é"\\ ', min_size=1, max_size=6)


def _string() -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.tuples(st.integers(0, 4), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))
    return lengths.map(lambda pair: {"type": "string", "minLength": pair[0], "maxLength": pair[1]})


def _number() -> st.SearchStrategy[dict[str, Any]]:
    ends = st.tuples(st.integers(-1000, 1000), st.integers(0, 500))
    return st.builds(
        lambda pair, step: (
            {"minimum": pair[0], "maximum": pair[0] + pair[1]}
            | ({"type": "integer"} if step is None else {"type": "number", "multipleOf": step})
        ),
        ends,
        st.sampled_from([None, 0.1, 0.01, 0.5, 1]),
    )


_SCALARS = st.one_of(
    _string(),
    _number(),
    st.just({"type": "boolean"}),
    st.just({"type": ["integer", "null"], "minimum": 0, "maximum": 99}),
    st.just({"type": "string", "format": "date"}),
    st.just({"type": "string", "pattern": "^[A-Z]{2}[0-9]{1,3}$", "maxLength": 5}),
    st.lists(st.one_of(_NAMES, st.integers(-5, 5), st.none(), st.booleans()), min_size=1, max_size=4).map(
        lambda members: {"enum": members}
    ),
)


def _grow(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    counts = st.tuples(st.integers(0, 2), st.integers(0, 2))
    arrays = st.builds(
        lambda item, pair: {"type": "array", "items": item, "minItems": pair[0], "maxItems": sum(pair)}, inner, counts
    )

    def object_of(properties: dict[str, Any], chosen: set[int]) -> dict[str, Any]:
        required = [name for index, name in enumerate(properties) if index in chosen]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    objects = st.builds(object_of, st.dictionaries(_NAMES, inner, max_size=4), st.sets(st.integers(0, 3)))
    either = st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    return st.one_of(arrays, objects, either)


BOUNDED = st.recursive(_SCALARS, _grow, max_leaves=6)
