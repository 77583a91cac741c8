"""What counts into the identity of the work: the parts of it that Python decides."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runner.config.schema import Job, RunnerConfig
from runner.models import ModelFolder, Prompt
from runner.run.settings import core_settings, worker_spec
from tests.unit.run.rig import config

MODEL = ModelFolder(Path("/model"), "tiny", "w", Path("/model/tokenizer.json"), "t", 512, 1, 1, 1, {"as_is": 1})
ATTACHMENT = {"incarnation": 1, "channel_fd": 3, "control_fd": 4, "document_fds": []}


def with_job(base: RunnerConfig, **changed: object) -> RunnerConfig:
    job: Job = replace(base.job, **changed)  # type: ignore[arg-type]
    return replace(base, job=job)


def decoding(given: RunnerConfig) -> object:
    prompt = Prompt((1,), (2,), "p")
    found = core_settings(given, MODEL, prompt, run_id="r", run_dir="/r", index_path="/i")
    return json.loads(found["job"]["decoding"])


@pytest.mark.parametrize("key", ["schema_repair", "keep_whole_items"])
def test_what_happens_to_a_structured_answer_counts_into_the_work(key: str, tmp_path: Path) -> None:
    structured = with_job(config(tmp_path), output_schema="{}")
    assert decoding(with_job(structured, **{key: True})) != decoding(structured)
    free = config(tmp_path)
    assert decoding(with_job(free, **{key: True})) == decoding(free)


def test_whether_answers_are_held_to_the_schema_counts_into_the_work(tmp_path: Path) -> None:
    checked = with_job(config(tmp_path), output_schema="{}")
    held = with_job(checked, grammar="g")
    assert decoding(held) != decoding(checked)
    assert worker_spec(held, MODEL, 1, 0, ATTACHMENT).grammar == "g"


def test_evidence_counts_into_the_work_and_is_told_to_core_and_worker(tmp_path: Path) -> None:
    free = config(tmp_path)
    proved = with_job(free, evidence=True)
    assert decoding(proved) != decoding(free)
    assert worker_spec(proved, MODEL, 1, 0, ATTACHMENT).evidence


def test_a_worker_is_told_how_answers_begin_and_whether_whole_items_are_kept(tmp_path: Path) -> None:
    given = with_job(config(tmp_path), answer_prefix="[", keep_whole_items=True)
    spec = worker_spec(given, MODEL, 1, 0, ATTACHMENT)
    assert (spec.answer_prefix, spec.keep_whole_items) == ("[", True)


def test_answers_that_ignore_the_end_are_work_of_their_own_and_ordinary_work_keeps_its_name(tmp_path: Path) -> None:
    plain = config(tmp_path)
    endless = replace(plain, sampling=replace(plain.sampling, ignore_eos=True))
    assert decoding(endless) == {**dict(decoding(plain)), "ignore_eos": True}  # type: ignore[call-overload]
