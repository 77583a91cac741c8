"""The lines of an OpenAI batch input file, and the groups that can share a run.

What makes the whole file unusable (bad JSON, a custom_id twice, another url) is a Fault, as OpenAI's validation reports
it; what one request asks that is not done here is its Refusal, and the others go on. Pure. Called by work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

URL: Final = "/v1/chat/completions"
MOST_SYSTEM_BYTES: Final = 100_000
"""A word of a command line holds 131,072 bytes on Linux, and the system message is one."""

# Keys that may be left out or hold what changes nothing; anything else in them is asked for and not done here.
_WITHOUT_EFFECT: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (None, 1),
    "stream": (None, False),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "stop": (None, []),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "web_search_options": (None,),
    "reasoning_effort": (None,),
}
_USED: Final = frozenset({
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "response_format",
})  # fmt: skip
_PASSED_OVER: Final = frozenset({"user", "metadata", "store", "service_tier", "parallel_tool_calls", "stream_options"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One line for which the whole file is refused. `line` counts from 1; None = the file."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - an outcome of one request, which becomes its line in the error file
    """One request that is not run: OpenAI's error object without its type."""

    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One line. `text` is what the user says; empty when `refusal` says why it is not run."""

    line: int
    custom_id: str
    text: str = ""
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What requests of one run have in common. None = as the configuration says. `schema`: JSON text."""

    system: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    schema: str | None

    def key(self) -> str:
        """Name of its folder: equal choices share it, now and after a restart."""
        fields = (self.system, self.max_tokens, self.temperature, self.top_p, self.seed, self.schema)
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:16]


@dataclass(slots=True)
class Parsed:
    """A whole file. Requests in the file's order; each that is run stands in one group too."""

    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    groups: dict[Choice, list[Request]] = field(default_factory=dict)


def parse(data: bytes, endpoint: str = URL) -> Parsed:
    """Blank lines are passed over."""
    found, seen = Parsed(), set[str]()
    for number, raw in enumerate(data.split(b"\n"), 1):
        if not raw.strip():
            continue
        row = _row(raw, number, endpoint, seen)
        if isinstance(row, Fault):
            found.faults.append(row)
            continue
        custom_id, body = row
        try:
            choice, text = _read(body)
        except Refusal as refusal:
            found.requests.append(Request(number, custom_id, refusal=refusal))
            continue
        request = Request(number, custom_id, text)
        found.requests.append(request)
        found.groups.setdefault(choice, []).append(request)
    if not found.requests and not found.faults:
        found.faults.append(Fault("empty_file", "The input file has no requests."))
    return found


def _row(raw: bytes, number: int, endpoint: str, seen: set[str]) -> tuple[str, Any] | Fault:
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError):
        return Fault("invalid_json_line", "This line is not parseable as valid JSON.", number)
    if not isinstance(row, dict):
        return Fault("invalid_json_line", "This line is not a JSON object.", number)
    custom_id = row.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id:
        return Fault("missing_required_parameter", "custom_id must be a string that is not empty.", number, "custom_id")
    if custom_id in seen:
        return Fault("duplicate_custom_id", f"The custom_id {custom_id!r} is used twice.", number, "custom_id")
    seen.add(custom_id)
    if row.get("method") != "POST":
        return Fault("invalid_method", f"The method is {row.get('method')!r}, it must be 'POST'.", number, "method")
    if row.get("url") != endpoint:
        return Fault("invalid_url", f"The url is {row.get('url')!r}, it must be {endpoint!r}.", number, "url")
    if not isinstance(row.get("body"), dict):
        return Fault("missing_required_parameter", "body must be an object.", number, "body")
    return custom_id, row["body"]


def _read(body: dict[str, Any]) -> tuple[Choice, str]:
    """What a body asks for. Raises Refusal."""
    for key, value in body.items():
        if key in _WITHOUT_EFFECT:
            if not any(value == plain and isinstance(value, bool) == isinstance(plain, bool)
                       for plain in _WITHOUT_EFFECT[key]):  # fmt: skip
                raise Refusal("unsupported_parameter", f"{key}={_short(value)} is not supported here.", key)
        elif key not in _USED and key not in _PASSED_OVER:
            raise Refusal("unknown_parameter", f"Unknown parameter: {key!r}.", key)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Refusal("missing_required_parameter", "model must be a string that is not empty.", "model")
    system, text = _messages(body.get("messages"))
    newer, older = (_number(body, key, 1, 2**20, whole=True) for key in ("max_completion_tokens", "max_tokens"))
    if newer is not None and older is not None:
        raise Refusal("invalid_value", "max_tokens and max_completion_tokens are both set.", "max_tokens")
    most = newer if newer is not None else older
    temperature, top_p = _number(body, "temperature", 0, 2), _number(body, "top_p", 0, 1)
    seed = _number(body, "seed", -(2**63), 2**63 - 1, whole=True)
    if temperature == 0:  # greedy: neither is read, and requests that differ in them alone share a run
        top_p = seed = None
    if top_p == 0:
        raise Refusal("invalid_value", "top_p is 0, it must be above 0; temperature 0 is greedy.", "top_p")
    seed = None if seed is None else int(seed) % 2**31
    choice = Choice(system, None if most is None else int(most), temperature, top_p, seed, _schema(body))
    return choice, text


def _messages(messages: Any) -> tuple[str | None, str]:
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise Refusal("invalid_value", "messages must be a list of objects that is not empty.", "messages")
    roles = [each.get("role") for each in messages]
    first = 1 if roles[0] in ("system", "developer") else 0
    if roles[first:] != ["user"]:
        said = ", ".join(map(str, roles[:6]))
        raise Refusal(
            "unsupported_value",
            f"The roles are {said}: one user message, with one system message before it or none, is supported here.",
            "messages",
        )
    system = _text(messages[0], 0) if first else None
    text = _text(messages[first], first)
    if not text.strip():
        raise Refusal("invalid_value", "The user message is empty.", f"messages[{first}].content")
    if system is not None and len(system.encode()) > MOST_SYSTEM_BYTES:
        raise Refusal(
            "string_above_max_length", f"The system message is over {MOST_SYSTEM_BYTES} bytes.", "messages[0].content"
        )
    return system or None, text


def _text(message: dict[str, Any], index: int) -> str:
    content, place = message.get("content"), f"messages[{index}].content"
    if isinstance(content, list):
        parts = [part if isinstance(part, dict) else {} for part in content]
        if any(part.get("type") != "text" or not isinstance(part.get("text"), str) for part in parts):
            raise Refusal("unsupported_value", "Only parts of type text are supported here.", place)
        content = "\n".join(part["text"] for part in parts)
    if not isinstance(content, str):
        raise Refusal("invalid_value", "content must be a string or a list of text parts.", place)
    try:
        content.encode()
    except UnicodeEncodeError:
        raise Refusal("invalid_value", "content holds half a surrogate pair, which is no character.", place) from None
    if "\0" in content:
        raise Refusal("invalid_value", "content holds a zero character.", place)
    return content


def _number(body: dict[str, Any], key: str, least: int, most: int, whole: bool = False) -> float | None:
    value = body.get(key)
    if value is None:
        return None
    right = isinstance(value, int) or (isinstance(value, float) and not whole)
    if isinstance(value, bool) or not right or not least <= value <= most:
        kind = "an integer" if whole else "a number"
        raise Refusal("invalid_value", f"{key} is {_short(value)}, it must be {kind} from {least} to {most}.", key)
    return value if whole else float(value)


def _schema(body: dict[str, Any]) -> str | None:
    asked = body.get("response_format")
    if asked is None or asked == {"type": "text"}:
        return None
    given = asked.get("json_schema") if isinstance(asked, dict) and asked.get("type") == "json_schema" else None
    schema = given.get("schema") if isinstance(given, dict) else None
    if not isinstance(schema, dict):
        raise Refusal(
            "unsupported_value", "response_format must be text, or json_schema with a schema.", "response_format"
        )
    return json.dumps(schema, ensure_ascii=False)  # keys in the order of the answer


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
