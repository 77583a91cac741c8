"""`runner profiles show` and `init`: every value is explained; what init writes runs here and overwrites nothing."""

import json
from pathlib import Path

import pytest
import yaml

from runner import layout
from runner.commands import profiles
from runner.config import groups
from runner.config.compose import compose
from runner.errors import UsageError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runner" / "profiles"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert profiles.main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_value_of_every_group_file_has_a_comment() -> None:
    bare = []
    for file in sorted(layout.profiles_dir().glob("*/*.yaml")):
        if file.parent.name in ("profile", "model"):
            continue
        found = groups.read_group(file.parent.name, file.stem, [layout.profiles_dir()])
        bare += [f"{file.parent.name}/{file.stem}: {each.key}" for each in found.values if not each.about]
    assert [each for each in bare if not each.endswith(": name")] == []


def test_show_explains_a_fitted_value(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "show", "m3max")
    assert isinstance(found["groups"], list)
    memory = next(each for each in found["groups"] if each["group"] == "memory")
    values = {each["key"]: each for each in memory["values"]}
    assert values["mlx"]["value"] == "45GiB"
    assert "scaled by" in values["mlx"]["fitted"]
    assert "Weights" in values["mlx"]["about"]
    assert profiles.main(["show", "m3max"]) == 0
    assert "fitted: 45GiB -> " in capsys.readouterr().out


def test_show_says_what_a_step_finds_on_this_machine(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (own / "profile").mkdir(parents=True)
    text = "# @package _global_\n# mine\ndefaults: [/profile/linux_cpu, {override /tuning: linux_numa}, _self_]\n"
    (own / "profile" / "steps.yaml").write_text(text)
    monkeypatch.setenv("TUNE_ROOT", str(own))  # an empty machine: nothing is there to be set
    found = said(capsys, "show", "steps")
    assert isinstance(found["groups"], list)
    tuning = next(each for each in found["groups"] if each["group"] == "tuning")
    step = next(each for each in tuning["values"] if each["key"] == "steps.numa-optimization")
    assert step["here"] == "unsupported: this system shows no NUMA nodes"
    assert "first" in step["about"] or "pages" in step["about"]


def test_init_writes_a_profile_that_fits_and_is_explained(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = said(capsys, "init", "desk")
    assert made["files"] == [str(own / group / "desk.yaml") for group in ("machine", "memory", "cores", "profile")]
    here = compose(["+profile=desk", "machine.strict=true"])
    assert here.profile.fitted == ()
    assert here.memory.mlx_bytes >> 20 == compose([f"+profile={made['from']}"]).memory.mlx_bytes >> 20
    text = (own / "memory" / "desk.yaml").read_text()
    assert "# Was auto in memory/auto." in text
    assert yaml.safe_load(text)["wired"] == "off"


def test_init_overwrites_nothing(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="there is a profile 'linux_cpu' already"):
        profiles.main(["init", "linux_cpu"])
    (own / "memory").mkdir(parents=True)
    (own / "memory" / "desk.yaml").write_text("defaults: [auto]\n")
    with pytest.raises(UsageError, match=r"memory/desk\.yaml is there already"):
        profiles.main(["init", "desk"])
    assert [path.name for path in own.rglob("*.yaml")] == ["desk.yaml"]
    with pytest.raises(UsageError, match="is no name for a profile"):
        profiles.main(["init", "../up"])


def test_init_leaves_nothing_when_what_it_wrote_does_not_compose(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles.starter, "cores_values", lambda _cores: {"workers": 100_000})
    with pytest.raises(UsageError, match=r"cores\.workers"):
        profiles.main(["init", "desk"])
    assert not list(own.rglob("*.yaml"))
