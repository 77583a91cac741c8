"""From a choice to a folder: the embedded model, a hub repository, a local folder, a GGUF file, or the tiny test model.

Does not run a model. Whatever is made here appears in the cache at once (temporary folder, then rename) under a lock,
so two runners at the same time make it once. Called through `runner.models.resolve`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from runner import layout
from runner.errors import UsageError
from runner.models import embedded
from runner.models.cache import appearing_folder, locked, read_json, write_json
from runner.models.child import Say, ask, say_on_stderr
from runner.models.choice import ModelChoice
from runner.models.folder import ModelFolder, inspect, missing_shards

CONVERTER_VERSION = 1
"""Raised when the same source would be converted into other bytes: old folders are then left alone and made again."""


_EMBEDDED_FOLDER = f"smollm2-135m-instruct-fp32-v{CONVERTER_VERSION}"
_TINY_FOLDER = f"tiny-v{CONVERTER_VERSION}"


def resolve(choice: ModelChoice, cache: Path, say: Say = say_on_stderr) -> ModelFolder:
    """The local folder of this model, fetched and converted when it is not there yet. Raises UsageError with cures."""
    match choice.source:
        case "embedded":
            folder = _made(cache, _EMBEDDED_FOLDER, embedded.source_spec, say)
            name = embedded.NAME
        case "tiny":
            folder = _made(cache, _TINY_FOLDER, lambda _cache, _say: {"kind": "tiny"}, say)
            name = "tiny"
        case "gguf":
            source = _existing(choice, "file")
            stat = source.stat()
            key = hashlib.sha256(f"{source}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()[:16]
            spec = {"kind": "gguf", "source": str(source)}
            folder = _made(cache, f"gguf-{source.stem}-{key}-fp32-v{CONVERTER_VERSION}", lambda _cache, _say: spec, say)
            name = source.stem
        case "path":
            folder = _existing(choice, "folder")
            name = folder.name
        case "hub":
            folder = pulled(choice, say)
            name = choice.location
    facts = inspect(folder, name, cache)
    if choice.precision == "as_is" or choice.precision == _precision_of(facts.path):
        return facts
    return _at_precision(facts, choice, cache, say)


def _precision_of(folder: Path) -> str | None:
    """What the folder's weights are already; None = something `ModelChoice.precision` has no word for."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if quantization := config.get("quantization"):
        return {4: "q4", 8: "q8"}.get(quantization.get("bits"))
    return {"float32": "fp32", "bfloat16": "bf16"}.get(str(config.get("torch_dtype") or config.get("dtype")))


def _made(cache: Path, name: str, source: embedded.SourceSpec, say: Say) -> Path:
    target = cache / "models" / name
    if (target / "config.json").is_file():
        return target
    with locked(cache / "locks" / f"{name}.lock"):
        if (target / "config.json").is_file():  # another runner made it while we waited
            return target
        spec = source(cache, say)
        say(f"converting {name} once into {target}")
        with appearing_folder(target) as temporary:
            ask("convert", {**spec, "target": str(temporary)}, say=say)
        embedded.clean_up(spec)
    return target


def _at_precision(facts: ModelFolder, choice: ModelChoice, cache: Path, say: Say) -> ModelFolder:
    name = f"{facts.name.replace('/', '--')}-{choice.precision}-{facts.weights_hash[:12]}-v{CONVERTER_VERSION}"
    spec = {"kind": "precision", "source": str(facts.path), "precision": choice.precision}
    return inspect(_made(cache, name, lambda _cache, _say: spec, say), facts.name, cache)


def _existing(choice: ModelChoice, kind: str) -> Path:
    path = Path(choice.location).expanduser().absolute()
    if not choice.location or not (path.is_dir() if kind == "folder" else path.is_file()):
        raise UsageError(
            f"model.path is '{choice.location}', a {choice.source} model must be an existing {kind}",
            "give an mlx-lm folder (config.json and *.safetensors) or a .gguf file",
        )
    return path


def pulled(choice: ModelChoice, say: Say, *, fetch: bool = True) -> Path:
    """The snapshot of a hub model at the commit in the user's lock file; a first pull writes the commit there.

    Without `fetch` a model that is not here is a UsageError with its cures.
    """
    if "/" not in choice.location:
        raise UsageError(
            f"model.repo={choice.location!r} is no hub repository (owner/name)",
            "for example mlx-community/Qwen3-8B-4bit",
        )
    lock_file = layout.model_lock_file()
    key = f"{choice.location}@{choice.revision or 'main'}"
    with locked(lock_file.with_suffix(".lock")):
        if found := local_snapshot(choice):
            return found
        known = read_json(lock_file) or {}
        commit = known.get(key)
        spec = {"repo": choice.location, "revision": commit or choice.revision, "fetch": fetch}
        answer = ask("pull", spec, say=say)
        if commit is None:
            write_json(lock_file, {**known, key: answer["commit"]})
            say(f"{choice.location} is pinned to commit {answer['commit'][:12]} in {lock_file}")
    return Path(answer["path"])


def local_snapshot(choice: ModelChoice) -> Path | None:
    """The folder of a hub model that is here whole, at its pinned commit; looks at file names alone, asks nobody."""
    commit = (read_json(layout.model_lock_file()) or {}).get(f"{choice.location}@{choice.revision or 'main'}")
    if commit is None:
        return None
    folder = _hub_cache() / f"models--{choice.location.replace('/', '--')}" / "snapshots" / str(commit)
    return folder if (folder / "config.json").is_file() and not missing_shards(folder) else None


def _hub_cache() -> Path:
    """Where huggingface_hub keeps snapshots, by its own rules."""
    if explicit := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(explicit).expanduser()
    home = os.environ.get("HF_HOME")
    base = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return base.expanduser() / "hub"


def is_here(choice: ModelChoice, cache: Path) -> bool:
    """Whether `resolve` would neither fetch nor convert the source. Asks nobody."""
    match choice.source:
        case "embedded":
            return (cache / "models" / _EMBEDDED_FOLDER / "config.json").is_file()
        case "tiny":
            return (cache / "models" / _TINY_FOLDER / "config.json").is_file()
        case "hub":
            return local_snapshot(choice) is not None
        case "path" | "gguf":
            return bool(choice.location) and Path(choice.location).expanduser().exists()
