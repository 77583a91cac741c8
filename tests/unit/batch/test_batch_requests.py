"""What OpenAI batch lines are read as: groups that share a run, faults of the file, refusals of one request."""

import json
from typing import Any

import pytest

from runner.batch.requests import Choice, Parsed, parse


def body(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], **more}


def row(custom_id: str = "a", **more: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body(), **more}


def read(*rows: dict[str, Any] | bytes) -> Parsed:
    return parse(b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in rows))


def refusal(**more: Any) -> tuple[str, str | None]:
    found = read(row(body=body(**more))).requests[0].refusal
    assert found is not None
    return found.code, found.param


def test_requests_that_differ_in_nothing_but_the_text_share_a_run() -> None:
    system = {"role": "system", "content": "Be short."}
    said = [[{"role": "user", "content": "A"}], [system, {"role": "user", "content": "B"}]]
    found = read(
        row("1", body=body(messages=said[0], temperature=0, seed=1)),
        row("2", body=body(messages=said[1], temperature=0)),
        row("3", body=body(messages=said[0], temperature=0, seed=2)),
        row("4", body=body(messages=said[0], temperature=0.5, seed=2)),
    )
    assert [[each.custom_id for each in group] for group in found.groups.values()] == [["1", "3"], ["2"], ["4"]]
    assert next(iter(found.groups)) == Choice(None, None, 0.0, None, None, None)


def test_parts_of_text_are_one_text_and_the_newer_name_of_max_tokens_counts() -> None:
    content = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    found = read(row(body=body(messages=[{"role": "user", "content": content}], max_completion_tokens=7)))
    assert found.requests[0].text == "one\ntwo"
    assert next(iter(found.groups)).max_tokens == 7


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "invalid_json_line"),
        (b"[1]", "invalid_json_line"),
        (row("a"), "duplicate_custom_id"),
        (row(""), "missing_required_parameter"),
        (row("b", url="/v1/embeddings"), "invalid_url"),
        (row("b", method="GET"), "invalid_method"),
        (row("b", body=None), "missing_required_parameter"),
    ],
)
def test_a_line_that_no_batch_may_hold_is_named_with_its_number(line: dict[str, Any] | bytes, code: str) -> None:
    faults = read(row("a"), b"", line).faults
    assert [(fault.code, fault.line) for fault in faults] == [(code, 3)]


def test_a_file_without_requests_is_a_fault() -> None:
    assert [fault.code for fault in parse(b"\n \n").faults] == ["empty_file"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"stream": True}, "stream"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"stop": "x"}, "stop"),
        ({"temprature": 1}, "temprature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"top_p": 0, "temperature": 1}, "top_p"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"model": 3}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a\ud800"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a\0"}]}, "messages[0].content"),
    ],
)
def test_what_is_not_done_here_is_refused_for_that_request_alone(more: dict[str, Any], param: str) -> None:
    assert refusal(**more)[1] == param
    found = read(row("1", body=body(**more)), row("2"))
    assert [each.custom_id for group in found.groups.values() for each in group] == ["2"]


def test_keys_that_ask_for_nothing_are_passed_over() -> None:
    found = read(row(body=body(n=1, stream=False, tools=[], user="me", metadata={"a": "b"}, presence_penalty=0)))
    assert found.requests[0].refusal is None
