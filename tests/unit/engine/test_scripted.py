"""The scripted engine: the same ids give the same answer, and each poison harms as its name says."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from runner.engine.protocol import EngineError, FinishedRow, Row
from runner.engine.scripted import Script, ScriptedEngine

ROOT = Path(__file__).resolve().parents[3]


def made(tiny_path: Path, **script: object) -> ScriptedEngine:
    return ScriptedEngine(tiny_path, Script(**script), max_num_seqs=8, max_model_len=1000)  # type: ignore[arg-type]


def ids(tiny_path: Path, text: str) -> list[int]:
    return list(Tokenizer.from_file(str(tiny_path / "tokenizer.json")).encode(text, add_special_tokens=False).ids)


def finish(engine: ScriptedEngine) -> dict[int, FinishedRow]:
    finished = {}
    while engine.active:
        finished.update((row.key, row) for row in engine.step())
    return finished


def test_answers_depend_on_the_ids_alone(tiny_path: Path) -> None:
    first, second = made(tiny_path), made(tiny_path)
    first.insert([Row(1, [5, 6], 100), Row(2, [5, 7], 100)])
    second.insert([Row(9, [5, 7], 100)])
    answers = finish(first)
    assert answers[1].text != answers[2].text
    assert answers[2].text == finish(second)[9].text


def test_an_answer_longer_than_allowed_is_cut_and_says_so(tiny_path: Path) -> None:
    engine = made(tiny_path, output="abcdefgh")
    engine.insert([Row(1, [5], 3), Row(2, [5], 8)])
    answers = finish(engine)
    assert (answers[1].text, answers[1].finish_reason) == ("abc", "length")
    assert (answers[2].text, answers[2].finish_reason) == ("abcdefgh", "stop")


def test_a_row_takes_the_steps_of_the_script(tiny_path: Path) -> None:
    engine = made(tiny_path, steps=4)
    engine.insert([Row(1, [5], 100)])
    assert [len(engine.step()) for _ in range(4)] == [0, 0, 0, 1]


def test_raise_names_the_guilty_row_and_blame_names_nobody(tiny_path: Path) -> None:
    for word, guilty in (("raise", 2), ("blame", None)):
        engine = made(tiny_path)
        engine.insert([Row(1, ids(tiny_path, "fine"), 9), Row(2, ids(tiny_path, f"a POISON:{word} b"), 9)])
        with pytest.raises(EngineError) as caught:
            engine.step()
        assert caught.value.guilty == guilty
        engine.rebuild()
        assert engine.active == 0


def test_leak_keeps_memory_for_every_poisoned_row(tiny_path: Path) -> None:
    engine = made(tiny_path)
    engine.insert([Row(1, ids(tiny_path, "POISON:leak"), 9)])
    finish(engine)
    assert engine.memory_bytes == 64 << 20


@pytest.mark.parametrize(("word", "status"), [("segv", -signal.SIGSEGV), ("exit", 9)])
def test_deadly_poison_ends_the_process(tiny_path: Path, word: str, status: int) -> None:
    code = (
        "import sys; from pathlib import Path; from runner.engine.scripted import *; from tokenizers import Tokenizer\n"
        "path = Path(sys.argv[1]); engine = ScriptedEngine(path, Script(), 4, 100)\n"
        "ids = Tokenizer.from_file(str(path / 'tokenizer.json')).encode('POISON:' + sys.argv[2]).ids\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('mlx', 'mlx_lm', 'transformers')]\n"
        "engine.insert([Row(1, ids, 9)]); engine.step()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_path), word], env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == status


@pytest.mark.parametrize("text", ['{"stepz": 3}', "[]", "{"])
def test_a_misspelt_script_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"script|Expecting"):
        Script.from_json(text)
