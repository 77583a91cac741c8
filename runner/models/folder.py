"""Facts of one local mlx-lm folder: hashes, sizes, context length. Read from `model.json`, or computed once and kept.

Does not fetch or convert. A folder that could run code when loaded (Python files, pickles) is refused here, so every
way a model enters passes this door.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from runner.errors import UsageError
from runner.models.cache import locked, read_json, write_json
from runner.models.sizes import BYTES_PER_WEIGHT, kv_bytes_per_token, parameters

FACTS_VERSION: Final = 1
"""Raised when a field of model.json or the way a hash is made changes: old facts are then computed again."""

_CODE: Final = {".py", ".pyc", ".so", ".bin", ".pkl", ".pickle", ".pt", ".pth", ".ckpt"}
_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
_CHUNK: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder mlx-lm can load. Sizes in bytes; hashes are sha256 in hex."""

    path: Path
    name: str
    weights_hash: str
    tokenizer_path: Path
    tokenizer_hash: str
    max_position_embeddings: int
    bytes: int
    kv_bytes_per_token: int
    parameters: int
    memory_bytes: dict[str, int]
    """Bytes of the weights in memory at each precision, "as_is" included."""


def inspect(path: Path, name: str, cache: Path) -> ModelFolder:
    """Facts of the folder. Hashes are computed once; later calls compare size and mtime of each file alone."""
    path = path.resolve()
    files = _checked_files(path)
    stamps = {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in files}
    kept = _facts_file(path, cache)
    facts = read_json(kept)
    if facts is None or facts.get("version") != FACTS_VERSION or facts.get("stamps") != stamps:
        with locked(cache / "locks" / f"facts-{_key(path)}.lock"):
            facts = {"version": FACTS_VERSION, "stamps": stamps, **_compute(path, files)}
            write_json(kept, facts)
    return ModelFolder(
        path=path,
        name=name,
        weights_hash=facts["weights_hash"],
        tokenizer_path=path / "tokenizer.json",
        tokenizer_hash=facts["tokenizer_hash"],
        max_position_embeddings=facts["max_position_embeddings"],
        bytes=facts["bytes"],
        kv_bytes_per_token=facts["kv_bytes_per_token"],
        parameters=facts["parameters"],
        memory_bytes=facts["memory_bytes"],
    )


def as_json(folder: ModelFolder) -> dict[str, Any]:
    """For --json and environment.json."""
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(folder).items()}


def _key(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:24]


def _facts_file(path: Path, cache: Path) -> Path:
    """Beside the weights where the folder is ours; in the cache where it is the user's."""
    own = path.is_relative_to((cache / "models").resolve())
    return path / "model.json" if own else cache / "facts" / f"{_key(path)}.json"


def _checked_files(path: Path) -> list[Path]:
    """Every file that decides what the model says, sorted by name. Raises UsageError with the broken rule."""
    if not path.is_dir():
        raise UsageError(f"model folder {path} does not exist", "model=path model.path=FOLDER")
    files = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    if code := [entry.name for entry in files if entry.suffix in _CODE]:
        raise UsageError(
            f"model folder {path} holds {', '.join(code[:5])}: code or pickles, which loading could "
            "run; only safetensors are read",
            "remove these files, or convert the model to safetensors and put it in a folder of its own",
        )
    names = {entry.name for entry in files}
    if missing := [name for name in ("config.json", "tokenizer.json") if name not in names]:
        raise UsageError(
            f"model folder {path} has no {' and no '.join(missing)}: it is no mlx-lm folder",
            "give a folder made by mlx_lm.convert, or a .gguf file",
        )
    if not any(name.startswith("model") and name.endswith(".safetensors") for name in names):
        raise UsageError(
            f"model folder {path} has no model*.safetensors: mlx-lm reads nothing else",
            "give a folder made by mlx_lm.convert, or a .gguf file",
        )
    if lost := missing_shards(path):
        raise UsageError(
            f"model folder {path} lacks {', '.join(lost[:3])} ({len(lost)} of its weight files): not fetched whole",
            "fetch the model again: `runner models pull NAME`",
        )
    return [entry for entry in files if entry.name != "model.json"]


def missing_shards(path: Path) -> list[str]:
    """Weight files that the folder's own index names and that are not there; a dead link counts as not there."""
    index = read_json(path / "model.safetensors.index.json")
    if index is None:
        return [] if any(path.glob("model*.safetensors")) else ["model.safetensors"]
    return sorted({str(name) for name in index.get("weight_map", {}).values() if not (path / str(name)).is_file()})


def _compute(path: Path, files: list[Path]) -> dict[str, Any]:
    config = read_config(path)
    weights = [entry for entry in files if entry.suffix == ".safetensors"]
    count = parameters(weights, config)
    size = sum(entry.stat().st_size for entry in weights)
    memory = {name: int(count * width) for name, width in BYTES_PER_WEIGHT.items()}
    return {
        "weights_hash": digest([*weights, path / "config.json"]),
        "tokenizer_hash": digest([path / name for name in _TOKENIZER_FILES if (path / name).is_file()]),
        "max_position_embeddings": _need(path, config, "max_position_embeddings"),
        "bytes": sum(entry.stat().st_size for entry in files),
        "kv_bytes_per_token": kv_bytes_per_token(config),
        "parameters": count,
        "memory_bytes": {"as_is": size, **memory},
    }


def read_config(path: Path) -> dict[str, Any]:
    """config.json of a folder, a multimodal model's language part in front. Refuses one that asks for code."""
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path / 'config.json'} is no JSON: {error}", "fetch the model again") from error
    if not isinstance(config, dict):
        raise UsageError(f"{path / 'config.json'} is no JSON object", "fetch the model again")
    if config.get("auto_map") or config.get("model_file"):
        raise UsageError(
            f"{path / 'config.json'} asks for code of its own (auto_map or model_file), which is never run",
            "use a model whose architecture mlx-lm has built in",
        )
    text = config.get("text_config")  # multimodal models keep the language part here
    return {**config, **text} if isinstance(text, dict) else config


def _need(path: Path, config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value <= 0:
        raise UsageError(
            f"{path / 'config.json'} has {key}={value!r}; a positive number is needed", f"add {key} to config.json"
        )
    return value


def digest(files: list[Path]) -> str:
    """sha256 over names, lengths and bytes, in the order given."""
    hasher = hashlib.sha256()
    for file in files:
        name = file.name.encode()
        hasher.update(len(name).to_bytes(8, "little") + name + file.stat().st_size.to_bytes(8, "little"))
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                hasher.update(chunk)
    return hasher.hexdigest()
