"""What tests of nights share: folders of a user of their own, and one tiny model for all of them."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def night_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the tiny model of all tests of a session."""
    return tmp_path_factory.mktemp("night-cache")


@pytest.fixture
def home(tmp_path: Path, night_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without schedules, in folders with a space and a percent sign: a crontab trips over them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "50% of me" / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "50% of me" / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(night_cache))
    return tmp_path
