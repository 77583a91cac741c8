"""`runner retry --failed`: what failed is done once more, and nothing else, down to the records of one file."""

import json

from tests.end_to_end.conftest import Shell, scripted


def test_only_what_failed_is_asked_again_and_the_rest_is_taken_over(shell: Shell) -> None:
    folder = shell.folder / "in"
    folder.mkdir()
    (folder / "plain.txt").write_text("alpha\n")
    records = [{"text": "one"}, {"text": "POISON:raise x"}, {"text": "three"}]
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    words = scripted("input=in")
    assert shell.run(*words).returncode == 3
    again = shell.run(*words)
    assert "nothing to do" in again.stderr, "a failure is final for a plain run"
    dry = shell.run("retry", "--failed", "--dry-run", "--reason", "engine")
    assert dry.stdout.endswith("1 documents\n")
    assert "nothing to retry" in shell.run("retry", "--failed", "--reason", "no such reason").stdout
    first = shell.runs()
    assert shell.run("retry", "--failed").returncode == 3
    assert len(shell.runs()) == len(first) + 1
    made = {line["source"].rpartition("/")[2]: line["reused_from"] is None for line in shell.results()}
    assert made == {"plain.txt": False, "records.jsonl#1": False, "records.jsonl#2": True, "records.jsonl#3": False}
