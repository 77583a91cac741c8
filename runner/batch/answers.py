"""Lines of OpenAI's output and error files from what a run says of its inputs.

Pure. A chat.completion stands in the output file, everything else in the error file, whatever went wrong. Ids are
hashes of the batch and the line, so that a file that is written again is the same. Called by work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.batch.requests import Refusal, Request

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """What all lines of one run share. `batch` makes ids differ from batch to batch."""

    batch: str
    model: str
    created: int


def _id(prefix: str, batch: str, line: int) -> str:
    return prefix + hashlib.sha256(f"{prefix}\0{batch}\0{line}".encode()).hexdigest()[:24]


def _line(batch: str, request: Request, status: int, body: Line) -> Line:
    return {
        "id": _id("batch_req_", batch, request.line),
        "custom_id": request.custom_id,
        "response": {"status_code": status, "request_id": _id("req_", batch, request.line), "body": body},
        "error": None,
    }


def refused(batch: str, request: Request, refusal: Refusal) -> Line:
    """The request cannot be done, as OpenAI says it: 400."""
    error = {
        "message": refusal.message,
        "type": "invalid_request_error",
        "param": refusal.param,
        "code": refusal.code,
    }
    return _line(batch, request, 400, {"error": error})


def not_run(batch: str, request: Request, code: str, message: str) -> Line:
    """The batch ended before it: no response at all."""
    return {
        "id": _id("batch_req_", batch, request.line),
        "custom_id": request.custom_id,
        "response": None,
        "error": {"code": code, "message": message},
    }


def failed(batch: str, request: Request, code: str, message: str) -> Line:
    """Our fault or the model's: 500."""
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return _line(batch, request, 500, {"error": error})


def too_long(result: Mapping[str, Any]) -> bool:
    """Whether some of the prompt did not reach the model: what it said then is no answer."""
    coverage = result["coverage"] or {}
    cut = coverage.get("covered_bytes", 0) < coverage.get("text_bytes", 0)
    return cut or str(result["reason"]).startswith("limit:")


def answered(source: Source, request: Request, result: Mapping[str, Any]) -> Line:
    """`result`: the line of results.jsonl."""
    reason, parts = str(result["reason"]), result["parts"]
    if too_long(result):
        message = "The messages and max_tokens together are longer than the context of the model."
        return refused(source.batch, request, Refusal("context_length_exceeded", message, "messages"))
    cut = len(parts) == 1 and parts[0]["finish_reason"] == "length"
    if result["status"] != "ok" and not (cut and reason.startswith("schema:") and result["output"] is not None):
        code = "invalid_answer" if reason.startswith("schema:") else str(result["status"])
        return failed(source.batch, request, code, reason or "the request did not end")
    tokens_in, tokens_out = (sum(part[key] for part in parts) for key in ("tokens_in", "tokens_out"))
    said = {"role": "assistant", "content": result["output"], "refusal": None, "annotations": []}
    body = {
        "id": _id("chatcmpl-", source.batch, request.line),
        "object": "chat.completion",
        "created": source.created,
        "model": source.model,
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": "length" if cut else "stop"}],
        "usage": {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
        },
        "system_fingerprint": None,
    }
    return _line(source.batch, request, 200, body)
