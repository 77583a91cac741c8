"""Lines of the output and the error file from lines of results.jsonl."""

from typing import Any

import pytest

from runner.batch.answers import Source, answered
from runner.batch.requests import Request
from runner.batch.work import _can_be_held, _literal

SOURCE = Source("batch", "smollm2-135m", 7)


def result(**more: Any) -> dict[str, Any]:
    part = {"finish_reason": more.pop("finish_reason", "stop"), "tokens_in": 3, "tokens_out": 5}
    plain = {"status": "ok", "reason": "", "output": "Hi", "parts": [part]}
    return {**plain, "coverage": {"text_bytes": 4, "covered_bytes": 4}, **more}


def response(**more: Any) -> tuple[int, dict[str, Any]]:
    line = answered(SOURCE, Request(1, "mine", "text"), result(**more))
    assert line["custom_id"] == "mine"
    return line["response"]["status_code"], line["response"]["body"]


def test_an_answer_is_a_chat_completion_with_real_counts_and_the_real_model() -> None:
    status, body = response()
    assert (status, body["object"], body["model"], body["created"]) == (200, "chat.completion", "smollm2-135m", 7)
    assert body["choices"][0]["message"]["content"] == "Hi"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def test_an_answer_that_was_cut_says_length_even_where_its_json_does_not_fit() -> None:
    assert response(finish_reason="length")[1]["choices"][0]["finish_reason"] == "length"
    status, body = response(finish_reason="length", status="failed", reason="schema: cut", output='{"a')
    assert (status, body["choices"][0]["message"]["content"]) == (200, '{"a')


@pytest.mark.parametrize(
    "more", [{"coverage": {"text_bytes": 4, "covered_bytes": 3}}, {"status": "failed", "reason": "limit: too long"}]
)
def test_a_prompt_over_the_context_is_an_error_and_never_half_an_answer(more: dict[str, Any]) -> None:
    status, body = response(**more)
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [("failed", "schema: not JSON", "invalid_answer"), ("quarantined", "crashed its worker", "quarantined")],
)
def test_what_failed_is_a_server_error_with_its_reason(status: str, reason: str, code: str) -> None:
    number, body = response(status=status, reason=reason)
    assert (number, body["error"]["code"], body["error"]["message"]) == (500, code, reason)


def test_ids_are_the_same_when_a_file_is_written_again_and_differ_between_batches() -> None:
    lines = [
        answered(Source(batch, "m", 7), Request(line, "mine", "text"), result())
        for batch, line in (("a", 1), ("a", 1), ("a", 2), ("b", 1))
    ]
    assert len({line["id"] for line in lines}) == 3


@pytest.mark.parametrize("text", ["plain", "${x}", "\\${x}", "a \\\\${b} ${c", "it's \\"])
def test_a_system_message_reaches_the_model_as_it_was_written(text: str) -> None:
    from omegaconf import OmegaConf

    assert OmegaConf.create({"a": _literal(text)}).a == text


def test_answers_are_held_to_a_schema_that_is_bounded_and_has_room() -> None:
    bounded = '{"type": "string", "maxLength": 30}'
    assert _can_be_held(bounded, 20)
    assert not _can_be_held(bounded, 5)
    assert not _can_be_held(bounded, None)
    assert not _can_be_held('{"type": "string"}', 100)
