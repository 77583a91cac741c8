"""The embedded model over the example corpus, through the command line. Slow by nature: a few documents, few tokens."""

import json

import pytest

from tests.end_to_end.conftest import Shell

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]  # a first run fetches and converts the model

FEW = ("job.max_documents=3", "job.max_chunks=1", "job.max_tokens=24")


def test_no_input_summarizes_the_example_corpus_and_says_so(real_shell: Shell) -> None:
    done = real_shell.run(*FEW, seconds=800)
    assert done.returncode == 0, done.stderr
    assert "no input given: the example corpus" in done.stderr.splitlines()[0]
    results = real_shell.results()
    answered = [line for line in results if line["status"] == "ok"]
    assert len(answered) == 3
    assert all(len(line["output"].split()) > 3 for line in answered)
    skipped = [line["reason"] for line in results if line["status"] == "skipped"]
    assert skipped
    assert all(reason.startswith("job.max_documents: ") for reason in skipped)
    assert "nothing to do" in real_shell.run(*FEW).stderr


def test_question_answer_pairs_are_exported_as_chat_lines(real_shell: Shell) -> None:
    few = ("job.max_documents=2", "job.max_chunks=1", "job.max_tokens=130")
    done = real_shell.run("job=qa", *few, seconds=800)
    assert done.returncode == 0, done.stderr
    folder = real_shell.folder / "outputs" / "latest"
    summary = json.loads((folder / "summary.json").read_text())
    lines = (folder / "chat.jsonl").read_text().splitlines()
    assert len(lines) == summary["chat"]["pairs"]
    answered = [json.loads(line["output"]) for line in real_shell.results() if line["status"] == "ok"]
    assert len(answered) == 2
    assert all(pair["question"] and pair["answer"] for pairs in answered for pair in pairs)
    for line in lines:
        assert [message["role"] for message in json.loads(line)["messages"]] == ["user", "assistant"]
