"""One snapshot of a hub repository: safetensors, JSON and templates alone, never code. Called by the worker verb
`pull`.

Does not decide the revision (the user's lock file does) and never sets trust_remote_code.
"""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

_WANTED = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "LICENSE*"]


class UnreachableError(Exception):
    """Neither in the local hub cache nor to be had from the hub."""


def snapshot(repo: str, revision: str | None, fetch: bool) -> tuple[Path, str]:
    """(folder, commit). The local cache first when the revision is a commit; the hub only when `fetch`."""
    if revision is not None:
        try:
            return _located(snapshot_download(repo, revision=revision, allow_patterns=_WANTED, local_files_only=True))
        except LocalEntryNotFoundError as error:
            if not fetch:
                raise UnreachableError("not in the local cache") from error
    try:
        return _located(snapshot_download(repo, revision=revision, allow_patterns=_WANTED, local_files_only=not fetch))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise UnreachableError(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error


def _located(path: str) -> tuple[Path, str]:
    folder = Path(path)
    return folder, folder.name  # the cache names a snapshot folder after its commit
