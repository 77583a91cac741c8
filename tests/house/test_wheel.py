"""The wheel and the source archive carry exactly the folders: no ignore rule swallows a file.

Method: both are built here by maturin with the one cargo target folder, and their lists compared with the tree. That
the wheel runs from another folder is shown by .ci/run.
"""

import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.house import tree

CARRIED = ("conf", "profiles", "tuning", "examples")
SUFFIXES = {".py", ".pyi", ".typed", ".css", ".js", ".json", ".toml"}
PYTHON = {p.as_posix() for p in tree.under("runner", "hydra_plugins") if p.suffix in SUFFIXES}
DATA = {p.as_posix() for p in tree.under(*CARRIED)}

pytestmark = pytest.mark.timeout(1200)  # a cold cargo target folder compiles everything


def build(verb: str, out: Path) -> Path:
    beside = Path(sys.executable).parent
    maturin = shutil.which("maturin", path=str(beside)) or shutil.which("maturin")
    if maturin is None or shutil.which("cargo") is None:
        pytest.skip("maturin or cargo is not installed (make setup brings maturin)")
    environment = {"CARGO_TARGET_DIR": str(tree.ROOT / "native" / "target"), **os.environ}
    environment["PATH"] = f"{beside}{os.pathsep}{environment['PATH']}"
    extra = ["--release", "--locked"] if verb == "build" else []
    command = [maturin, verb, *extra, "--out", str(out)]
    done = subprocess.run(command, cwd=tree.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (archive,) = out.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("build", tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    with tarfile.open(build("sdist", tmp_path_factory.mktemp("sdist"))) as archive:
        return {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}


def test_the_wheel_carries_exactly_the_four_folders_as_data(wheel: zipfile.ZipFile) -> None:
    carried = {name.removeprefix("runner/_data/") for name in wheel.namelist() if name.startswith("runner/_data/")}
    assert {name for name in carried if not name.startswith(("blas/", "kernels/"))} == DATA


def test_the_wheel_carries_exactly_the_python_package_and_the_plugin(wheel: zipfile.ZipFile) -> None:
    code = {name for name in wheel.namelist() if "/_data/" not in name and ".dist-info/" not in name}
    assert code == PYTHON | {"runner/_native.abi3.so"}


@pytest.mark.skipif(sys.platform != "linux", reason="platform: the BLAS shim is for Linux")
def test_the_wheel_carries_the_blas_shim_on_linux(wheel: zipfile.ZipFile) -> None:
    assert "runner/_data/blas/librunner_blas.so" in wheel.namelist()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: the kernels are for Linux")
def test_the_wheel_carries_the_kernels_where_mlxs_headers_and_a_compiler_were(wheel: zipfile.ZipFile) -> None:
    assert "runner/_data/kernels/librunner_kernels.so" in wheel.namelist()


def test_scripts_stay_executable_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    for info in wheel.infolist():
        if info.filename.startswith("runner/_data/") and info.filename.endswith(".sh"):
            source = tree.ROOT / info.filename.removeprefix("runner/_data/")
            assert bool(info.external_attr >> 16 & stat.S_IXUSR) == bool(source.stat().st_mode & stat.S_IXUSR)


def test_the_wheel_has_the_command_the_licence_and_no_tests(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
    assert "runner=runner.cli:main" in wheel.read(entry_points).decode().replace(" ", "")
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests/")]


def test_the_source_archive_builds_the_same_wheel_from_the_same_files(sdist: set[str]) -> None:
    rust = {
        p.as_posix() for p in tree.under("native") if p.suffix in {".rs", ".c", ".h", ".cpp", ".hpp", ".toml", ".lock"}
    }
    wanted = PYTHON | DATA | {"pyproject.toml", "README.md", "LICENSE"}
    # native/model and native/fuzz are crates of their own that check this one; no build of the wheel needs them.
    beside = ("native/tests/", "native/benches/", "native/model/", "native/fuzz/")
    wanted |= {name for name in rust if not name.startswith(beside)}
    assert sorted(wanted - sdist) == []


def test_one_list_of_carried_folders_is_used_everywhere() -> None:
    build_rs = tree.read(Path("native/build.rs"))
    pyproject = tree.read(Path("pyproject.toml"))
    for folder in CARRIED:
        assert f'"{folder}"' in build_rs
        assert f'path = "{folder}/**/*", format = "sdist"' in pyproject
        assert f'path = "{folder}/**/*", from = "out-dir", to = "runner/_data/"' in pyproject
