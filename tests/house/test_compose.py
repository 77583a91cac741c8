"""Every choice of every group composes and passes all checks on this machine, and a profile only chooses.

Does not run anything: composition and checks alone, in one process.
"""

from pathlib import Path

import pytest
import yaml

from runner.config.compose import compose
from runner.machine import CoreKind, Machine, detect
from tests.house import tree


def choices(folder: str) -> list[str]:
    return sorted(p.stem for p in tree.under(folder.split("/")[0], suffix=".yaml") if p.parent == Path(folder))


GROUPS = [
    *[f"conf/{group}" for group in ("job", "ingest", "monitor", "log")],
    *[f"profiles/{group}" for group in ("machine", "memory", "cores", "model", "batching", "tuning")],
]
# A choice that needs something of the user's to be complete.
NEEDS = {
    "job=prompt": ["job.template=Say one word about: {{ document }}"],
    "model=path": [f"model.path={tree.ROOT}"],
}

# Numbers for a large machine are refused by a small one when they are chosen by hand; here they get what they ask for.
CORES = (
    CoreKind("performance", 12, tuple((n,) for n in range(12))),
    CoreKind("efficiency", 4, tuple((n,) for n in range(12, 16))),
)
LARGE = Machine("darwin", "arm64", "Apple M3 Max", 128 << 30, 128 << 30, "physical memory", CORES, None, "boot")
FOR_LARGE = {"memory=split_128", "cores=apple_gpu", "machine=m3max_128", "batching=apple_gpu"}


@pytest.mark.parametrize("profile", choices("profiles/profile"))
def test_every_profile_composes_and_passes_the_checks(profile: str) -> None:
    chosen = compose([f"+profile={profile}"], detect()).profile.names
    assert chosen == (profile,) if profile != "auto" else len(chosen) == 1


@pytest.mark.parametrize("choice", [f"{Path(g).name}={name}" for g in GROUPS for name in choices(g)])
def test_every_choice_of_every_group_composes_and_passes_the_checks(choice: str) -> None:
    compose([choice, *NEEDS.get(choice, [])], LARGE if choice in FOR_LARGE else detect())


@pytest.mark.parametrize("profile", choices("profiles/profile"))
def test_a_profile_only_chooses(profile: str) -> None:
    found = yaml.safe_load(tree.read(Path(f"profiles/profile/{profile}.yaml")))
    assert set(found) <= {"defaults"}, "numbers belong to the group's own files"
    assert all(next(iter(entry)).startswith("override /") for entry in found["defaults"] if isinstance(entry, dict))


def test_no_folder_is_named_like_a_plain_key() -> None:
    """Hydra would take `input=...` or `output.dir=...` for the choice of a group."""
    folders = {p.parts[1] for p in tree.under("conf", "profiles") if len(p.parts) > 2}
    assert folders & {"input", "output"} == set()
