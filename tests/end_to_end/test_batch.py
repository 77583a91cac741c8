"""`runner batch` as its user types it: every custom_id has one line, in the output or the error file."""

import json
from typing import Any

from tests.end_to_end.conftest import SCRIPT, Shell

WORDS = ("model=tiny", "model.engine=scripted", f"model.script='{SCRIPT}'", "output.report=false")


def row(custom_id: str, text: str, **more: Any) -> str:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], "max_tokens": 60, **more}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"


def test_an_openai_batch_file_is_answered_line_by_line_and_a_second_start_computes_nothing(shell: Shell) -> None:
    file = shell.folder / "in.jsonl"
    file.write_text(
        row("../../a", "first")
        + row("b", "second ${b} #2")
        + row("tools", "x", tools=[{}])
        + row("long", "word " * 3000)
    )
    done = shell.run("batch", "in.jsonl", *WORDS, "--json")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["completed"] == 2
    right, wrong = (
        [json.loads(line) for line in (shell.folder / f"in.{name}.jsonl").read_text().splitlines()]
        for name in ("output", "errors")
    )
    assert [line["custom_id"] for line in right] == ["../../a", "b"]
    assert "second ${b} #2" in right[1]["response"]["body"]["choices"][0]["message"]["content"]
    codes = {line["custom_id"]: line["response"]["body"]["error"]["code"] for line in wrong}
    assert codes == {"tools": "unsupported_parameter", "long": "context_length_exceeded"}
    before = (shell.folder / "in.output.jsonl").read_bytes()
    again = shell.run("batch", "in.jsonl", *WORDS)
    assert (again.returncode, (shell.folder / "in.output.jsonl").read_bytes()) == (3, before)
    assert len(list(shell.folder.glob("outputs/batches/*/groups/*/run-*"))) == 1


def test_a_file_that_openai_would_refuse_is_refused_with_its_lines(shell: Shell) -> None:
    (shell.folder / "in.jsonl").write_text(row("a", "x") + row("a", "y") + "{\n")
    done = shell.run("batch", "in.jsonl", *WORDS)
    assert done.returncode == 2
    assert "in.jsonl:2:" in done.stderr
    assert "duplicate_custom_id" in done.stderr
    assert "in.jsonl:3:" in done.stderr
    assert not (shell.folder / "outputs").exists()
