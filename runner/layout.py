"""Where things lie: the product's own data, the user's folders, the outputs folder, one run's folder. Names only.

Does not create, read or write anything but to look whether a folder is there. Every other room asks here instead of
joining paths. The files of a run are those of docs/results.md.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
DEFAULT_OUTPUTS = "outputs"


def data_root() -> Path:
    """Folder of conf/, profiles/, tuning/ and examples/: the checkout, or `runner/_data` of an installed wheel."""
    checkout = PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "config.yaml").is_file():
        return checkout
    return PACKAGE / "_data"


def conf_dir() -> Path:
    """How the runner works."""
    return data_root() / "conf"


def profiles_dir() -> Path:
    """What a machine gets."""
    return data_root() / "profiles"


def tuning_dir() -> Path:
    """Shell scripts of the system scope."""
    return data_root() / "tuning"


def example_documents() -> Path:
    """The corpus that runs when no `input` is given."""
    return data_root() / "examples" / "documents"


def _base(variable: str, mac: str, other: str) -> Path:
    value = os.environ.get(variable, "")
    if Path(value).is_absolute():  # the XDG rule: a relative value is ignored
        return Path(value) / "runner"
    return Path.home() / (mac if sys.platform == "darwin" else other) / "runner"


def user_config_dir() -> Path:
    """The user's own profiles and schedules: ~/.config/runner on every system."""
    return _base("XDG_CONFIG_HOME", ".config", ".config")


def user_cache_dir() -> Path:
    """What can be fetched or computed again: converted models, rendered prompts."""
    return _base("XDG_CACHE_HOME", "Library/Caches", ".cache")


def user_state_dir() -> Path:
    """What must survive: the model lock, machine-wide locks, the tuning journal."""
    return _base("XDG_STATE_HOME", "Library/Application Support", ".local/state")


def schedules_dir() -> Path:
    """One YAML file a schedule, and its environment file."""
    return user_config_dir() / "schedules"


def schedule_file(name: str) -> Path:
    """What a person scheduled."""
    return schedules_dir() / f"{name}.yaml"


def schedule_environment(name: str) -> Path:
    """NAME=value lines for its nights, 0600."""
    return schedules_dir() / f"{name}.env"


def schedule_state_dir(name: str) -> Path:
    """Lock, history and alerts of its nights."""
    return user_state_dir() / "schedules" / name


def models_dir() -> Path:
    """Converted models."""
    return user_cache_dir() / "models"


def model_lock_file() -> Path:
    """Which commit of each hub model this user has pulled."""
    return user_state_dir() / "models.lock.json"


def device_lock_file(device: str) -> Path:
    """`device` is "metal" or "cpu-<n>"."""
    return user_state_dir() / "locks" / f"device-{device}.lock"


def calibrations_file() -> Path:
    """How fast models were in short runs made for that."""
    return user_state_dir() / "calibrations.json"


def tuning_lock_file() -> Path:
    """Held while system settings are changed."""
    return user_state_dir() / "locks" / "tuning.lock"


def profile_folders(extra: str | None = None) -> list[tuple[str, Path]]:
    """Folders that are there and hold profile groups, nearest first: (source, folder). `extra` is --config-dir."""
    candidates = [("config-dir", extra)] if extra else []
    candidates += [("env", part) for part in os.environ.get("RUNNER_PROFILES", "").split(os.pathsep) if part]
    candidates += [("project", ".runner/profiles"), ("user", str(user_config_dir() / "profiles"))]
    found = [(source, Path(path).expanduser().absolute()) for source, path in candidates if path]
    return [(source, path) for source, path in found if path.is_dir()] + [("built-in", profiles_dir())]


def new_id() -> str:
    """Six hex digits: two runs of one second must not share a folder."""
    return os.urandom(3).hex()


def _stamp(started: float) -> tuple[str, str]:
    local = time.localtime(started)
    return time.strftime("%Y-%m-%d", local), time.strftime("%H-%M-%S", local)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in name)[:60] or "x"


def new_run_dir(outputs: Path, job: str, profile: str, started: float, run_id: str) -> Path:
    """Folder of a run that begins now."""
    date, clock = _stamp(started)
    return outputs / "runs" / date / f"{clock}_{_safe(job)}_{_safe(profile)}_{run_id}"


def new_sweep_dir(outputs: Path, name: str, started: float, sweep_id: str) -> Path:
    """Folder of a sweep that begins now."""
    date, clock = _stamp(started)
    return outputs / "sweeps" / date / f"{clock}_{_safe(name)}_{sweep_id}"


def is_job_of_sweep(outputs: Path, run: Path) -> bool:
    """Whether this run folder lies in a sweep's: the sweep is what a person started, not the run."""
    return run.is_relative_to(outputs.absolute() / "sweeps")


def index_file(outputs: Path) -> Path:
    """What was finished by which run; can be rebuilt."""
    return outputs / "index.sqlite"


def runs_index_file(outputs: Path) -> Path:
    """What people ask of their runs; can be rebuilt."""
    return outputs / "runs.sqlite"


def latest_link(outputs: Path) -> Path:
    """Symbolic link to the last run that was started by itself, not as the job of a sweep."""
    return outputs / "latest"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run. `root` is absolute."""

    root: Path

    @property
    def run_json(self) -> Path:
        """Identity and state of the run."""
        return self.root / "run.json"

    @property
    def config(self) -> Path:
        """Folder of the composed tree, unexpanded."""
        return self.root / "config"

    @property
    def environment(self) -> Path:
        """Facts of machine, model and workers."""
        return self.root / "environment.json"

    @property
    def tuning(self) -> Path:
        """What was set, verified and put back."""
        return self.root / "tuning.jsonl"

    @property
    def journal(self) -> Path:
        """The run itself: framed records."""
        return self.root / "journal"

    @property
    def lock(self) -> Path:
        """One writer a folder."""
        return self.root / "lock"

    @property
    def stdin(self) -> Path:
        """Folder of the document that came on standard input: a resume cannot read it again."""
        return self.root / "stdin"

    def stdin_file(self, name: str | None) -> Path:
        """Its copy, under the name that tells its type."""
        return self.stdin / (name or "stdin")

    @property
    def files_list(self) -> Path:
        """The list of paths that the run began with."""
        return self.root / "files.list"

    @property
    def results(self) -> Path:
        """One line per input."""
        return self.root / "results.jsonl"

    @property
    def failures(self) -> Path:
        """One line per input that failed."""
        return self.root / "failures.jsonl"

    @property
    def metrics(self) -> Path:
        """Samples over time."""
        return self.root / "metrics.jsonl"

    @property
    def alerts(self) -> Path:
        """Alerts that fired and were resolved."""
        return self.root / "alerts.jsonl"

    @property
    def log(self) -> Path:
        """Events as JSON lines."""
        return self.root / "log.jsonl"

    @property
    def summary(self) -> Path:
        """Counts and figures at the end."""
        return self.root / "summary.json"

    @property
    def report(self) -> Path:
        """The report for people."""
        return self.root / "report.html"

    @property
    def trace(self) -> Path:
        """Timeline of leases."""
        return self.root / "trace.json"

    @property
    def chat(self) -> Path:
        """Question-answer pairs as chat lines that mlx_lm.lora accepts (job=qa)."""
        return self.root / "chat.jsonl"
