"""`runner tune search` as a person types it: it goes on where it stopped, and writes a profile that then composes."""

import json
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Shell, scripted


def test_a_search_goes_on_and_leaves_a_profile_of_its_own(shell: Shell) -> None:
    pytest.importorskip("optuna", reason="tool: the extra search")
    texts = shell.folder / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("document")
    words = ["tune", "search", "--json", "--over", "batching.max_num_seqs=32,64", "--trials", "1", "--rounds", "1"]
    words += scripted("input=texts", "cores.workers=1")
    done = shell.run(*words)
    found = json.loads(done.stdout)
    assert [each["rounds"] for each in found["candidates"]] == [1, 1], done.stderr
    assert not shell.runs()
    again = shell.run(*words, "--write", "fast", "--take", "1")
    assert "trial" not in again.stderr.replace("trials", ""), "nothing is measured twice"
    rows = found["candidates"][1]["overrides"][0].partition("=")[2]
    own = Path(shell.environment["XDG_CONFIG_HOME"]) / "runner" / "profiles"
    assert f"\nmax_num_seqs: {rows}\n" in (own / "batching" / "fast.yaml").read_text()
    assert found["study"] in (own / "profile" / "fast.yaml").read_text()
