"""The first word decides; errors become text and exit codes; cheap commands import nothing heavy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner import cli, run
from runner.errors import BusyError, StorageError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "it's a, [folder]=#1 ü"
    folder.mkdir()
    (folder / "a.txt").write_text("text")


FOLDER = "input=it's a, [folder]=#1 ü"


def runner(*words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-P", "-m", "runner", *words], capture_output=True, text=True, env=env)


def test_an_unknown_word_is_exit_2_with_the_nearest_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["docter"]) == 2
    assert "did you mean 'doctor'?" in capsys.readouterr().err


def test_version_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out.startswith("runner ")
    assert cli.main(["version", "--json"]) == 0
    assert "parts" in json.loads(capsys.readouterr().out)
    assert cli.main(["version", "please"]) == 2


def test_help_is_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 50
    assert "linux_cpu" in out


HELPED = [
    *([name] for name in cli.known_commands()),
    ["bench", "channel"],
    ["bench", "ingest"],
    ["bench", "chunk"],
    ["models", "pull"],
]


@pytest.mark.parametrize("words", HELPED, ids=" ".join)
def test_every_command_shows_its_help_and_does_nothing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = cli.main([*words, "--help"])
    except SystemExit as asked:  # argparse's own way out
        code = int(asked.code or 0)
    out = capsys.readouterr()
    assert code == 0
    assert out.out.startswith(f"usage: runner {words[0]}")
    assert out.err == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ls", "--limit", "-3"], "usage: runner ls"),
        (["doctor", "everything"], "usage: runner doctor"),
        (["models", "push"], "'pull', 'describe'"),
        (["bench"], "usage: runner bench"),
        (["models", "describe", "nothing.json"], "config.json"),
        (["models", "pull", "nothing"], "smollm2-135m"),
        (["plan", "-m", "input=."], "leave it out"),
    ],
)
def test_wrong_words_for_a_command_are_our_error_with_a_cure(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.startswith("error: ")
    assert says in out.err


def test_profiles_lists_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profiles", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"m3max", "linux_cpu", "auto"} <= {row["name"] for row in rows}
    assert sum(row["default"] for row in rows) == 1
    assert cli.main(["profiles", "m3max"]) == 0
    assert cli.main(["profiles", "m3mac"]) == 2
    assert "did you mean m3max?" in capsys.readouterr().err


def test_a_run_gets_its_config_and_its_exit_code_is_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []

    def execute(config: object, _machine: object, as_json: bool = False) -> int:
        seen.append((config, as_json))
        return 3

    monkeypatch.setattr(run, "execute", execute)
    assert cli.main([FOLDER, "job=qa", "--json"]) == 3
    config, as_json = seen[0]
    assert config.inputs == (str(tmp_path / FOLDER.removeprefix("input=")),)
    assert config.job.name == "qa"
    assert as_json
    assert cli.main(["run", FOLDER]) == 3
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("error", [StorageError("disk", "cure"), BusyError("held by 7", "wait")])
def test_an_error_of_a_run_is_text_and_a_code(
    error: StorageError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(run, "execute", execute)
    assert cli.main([FOLDER]) == error.exit_code
    err = capsys.readouterr().err
    assert error.problem in err
    assert "Traceback" not in err


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "execute", execute)
    assert cli.main([FOLDER]) == 130


@pytest.mark.parametrize(
    "words",
    [["+profile=nope"], ["batching.max_num_seqs=abc"], ["no_such_key=1"], ["input=nowhere"], ["memory.rust=900GiB"]],
)
def test_bad_configuration_is_exit_2_without_a_trace(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*([] if words[0].startswith("input") else [FOLDER]), *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "hint: " in err
    assert "Traceback" not in err


def test_a_sweep_with_a_bad_job_starts_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["-m", FOLDER, "batching.max_num_seqs=4,0"]) == 2
    err = capsys.readouterr().err
    assert "job #1" in err
    assert not list(tmp_path.glob("outputs/sweeps/*/*/preflight.json"))


def test_light_commands_import_nothing_heavy() -> None:
    code = (
        "import sys; from runner import cli; code = cli.main(sys.argv[1:]); print(sorted(sys.modules), file=sys.stderr)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words, banned in (
        (["version"], {"hydra", "omegaconf", "numpy", "mlx", "runner._native", "yaml"}),
        (["ls"], {"hydra", "omegaconf", "numpy", "mlx", "runner._native"}),
        (["--cfg", "job"], {"numpy", "mlx", "mlx_lm", "transformers", "runner._native"}),
    ):
        done = subprocess.run([sys.executable, "-P", "-c", code, *words], capture_output=True, text=True, env=env)
        loaded = set(done.stderr.strip().splitlines()[-1].strip("[]").replace("'", "").split(", "))
        assert "runner.cli" in loaded
        assert not banned & loaded, words


def test_cfg_prints_the_composed_keys() -> None:
    done = runner("--cfg", "job", "+profile=m3max")
    assert done.returncode == 0
    assert "memory:" in done.stdout
