"""The Rust core as Python sees it. This stub is its documentation; a test holds it against the module."""

from typing import Any, final

class CoreError(Exception):
    """Base of everything the core raises. `args[0]` says what failed, the value seen and the rule."""

class ConfigProblem(CoreError):
    """The user's to cure (exit 2): `args = (problem, hint)`."""

class StorageFailed(CoreError):
    """The disk or the journal (exit 74). The run has stopped; nothing acknowledged is lost."""

class RunBusy(CoreError):
    """Somebody else holds what this run needs (exit 75)."""

class ChannelBroken(CoreError):
    """A worker's channel holds what no healthy worker writes: treat that worker as crashed."""

class ChannelClosed(CoreError):
    """The other side of a channel is gone."""

@final
class Core:
    """One run: journal, discovery, extraction, dispatch. Every method that waits releases the GIL."""

    def __init__(self, settings_json: str) -> None:
        """`settings_json`: native/src/settings.rs. Raises ConfigProblem for templates, tokenizer, no room for text."""

    def survey(self) -> dict[str, Any]:
        """What there is to do, from stamps and the index alone: files, unchanged, to_do, rejected, inputs_unchanged,
        nothing_to_do (bool). Reads no document and makes nothing."""

    def open(self, boot_id: str) -> dict[str, Any]:
        """Opens (or replays) the journal; the folder's lock is the caller's. incarnation, resumed (bool), outstanding,
        inputs_logged, inputs_finished."""

    def start(self) -> None:
        """Starts the threads. Workers may attach from here on."""

    def attach(self, worker: int) -> dict[str, Any]:
        """A fresh channel for one worker process: incarnation, channel_fd, control_fd, document_fds (list). The caller
        passes the descriptors on and closes its own copies."""

    def ready(self, worker: int) -> None:
        """The worker on this seat takes leases."""

    def died(self, worker: int, cause: str, charged: bool = True) -> dict[str, int]:
        """Only after waitpid. requeued, quarantined. `charged=False`: it was stopped by us, not by its work."""

    def setting(self, name: str, value_json: str, detail: str) -> None:
        """Writes a setting record into the journal."""

    def drain(self) -> None:
        """No new leases; workers give back what does not end soon. The event `drained` follows."""

    def next_events(self, timeout_ms: int) -> list[dict[str, Any]]:
        """Waits for the first event: deadline(worker, work_id, elapsed_ms), finished, drained,
        channel_broken(worker, problem), storage_failed(problem, error: CoreError)."""

    def counters(self) -> dict[str, int]:
        """Numbers of native/src/counters.rs, each read once, and rust_peak_bytes."""

    def close(self) -> dict[str, Any]:
        """Stops the threads and closes the books. `finished` False: inputs are left for a resume. Otherwise the counts,
        which close: inputs = ok + failed + skipped + quarantined; and reused, duplicates, text_bytes, covered_bytes."""
