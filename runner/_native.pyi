"""The Rust core as Python sees it. This stub is its documentation; a test holds it against the module."""

from typing import Any, Self, final

import numpy as np

__all__ = [
    "ChannelBroken",
    "ChannelClosed",
    "ChannelProbe",
    "Chunker",
    "ConfigProblem",
    "Core",
    "CoreError",
    "DocumentArena",
    "ExtractWorker",
    "FileReader",
    "Reading",
    "RunBusy",
    "RunnerPort",
    "StorageFailed",
    "WorkerPort",
    "allow_cpu",
    "confine",
]

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

def confine(memory_bytes: int, open_files: int, readable: list[str]) -> dict[str, str]:
    """Makes this process harmless, once and for good: no writing, no network, no other program or process, reading only
    below `readable` and the system's libraries, `memory_bytes` on top of what is mapped. Open descriptors, threads and
    late imports stay; stderr must not be a regular file. limits, filesystem, system_calls, network: "in force",
    "in part: what is missing" or "unsupported: why". Call it with one thread. Raises CoreError for a rule that the
    system has and did not take, and for a second call."""

def allow_cpu(seconds: int) -> None:
    """From now on `seconds` of CPU time (at most one more), then SIGXCPU ends the process. Before each document."""

@final
class Core:
    """One run: journal, discovery, extraction, dispatch. Every method that waits releases the GIL."""

    def __new__(cls, settings_json: str) -> Self:
        """`settings_json`: native/src/settings.rs. Raises ConfigProblem for templates, tokenizer, no room for text."""

    def survey(self) -> dict[str, Any]:
        """What there is to do, from stamps and the index alone: files, unchanged, to_do, rejected, inputs_unchanged,
        nothing_to_do (bool). Reads no document and makes nothing."""

    def count(self, options_json: str) -> None:
        """Starts to read what a run would read (or a sample) and only counts: the census of `runner plan`, instead of
        `open` and `start`. `options_json`: full (bool), sample (files, or null), read_s, near (bool), near_similarity,
        near_bytes. The event `finished` follows; `close` breaks it off."""

    def counted(self) -> str:
        """The census so far as JSON, see native/src/core/census/tally.rs; `complete` once everything is in it."""

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

    def attach_converter(self, seat: int) -> dict[str, int]:
        """input_fd, output_fd, control_fd of the extract worker that a `converter_wanted` event asked for."""

    def converter_died(self, seat: int, cause: str) -> None:
        """After waitpid."""

    def converter_cannot_start(self, seat: int, problem: str) -> None:
        """No extract worker can be had on this seat."""

    def setting(self, name: str, value_json: str, detail: str) -> None:
        """Writes a setting record into the journal."""

    def pause(self, paused: bool) -> None:
        """No new leases until it is called with False; workers finish what they have."""

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

@final
class WorkerPort:
    """The worker's end of a channel; use runner.channel. Lines are bytes of 64, see native/src/channel/layout.rs."""

    def __new__(cls, channel_fd: int, control_fd: int, document_fds: list[int], spin_us: int) -> WorkerPort:
        """Keeps its own copies of the descriptors; the caller's stay the caller's."""

    def receive(self, most: int, timeout_ms: int) -> bytes:
        """Submit lines. Empty on time-out, on a signal, and once when a drain begins. Raises ChannelClosed."""

    def complete(self, lines: bytes) -> None:
        """Stages complete lines whose texts lie in their slots."""

    def publish(self) -> None: ...
    def progress(
        self, heartbeat_ns: int, prompt_tokens: int, generated_tokens: int, active_rows: int, memory_bytes: int
    ) -> None: ...
    @property
    def draining(self) -> bool: ...

@final
class DocumentArena:
    """The runner's documents for tests and the bench; a run uses the one inside Core."""

    def __new__(cls, settings_json: str) -> DocumentArena:
        """`settings_json`: ChannelSettings of native/src/settings.rs."""

    @property
    def bytes_in_use(self) -> int: ...
    @property
    def segment_bytes_total(self) -> int:
        """Everything counted against the ipc pool."""

@final
class RunnerPort:
    """The runner's end of one worker, for tests and the bench. ChannelBroken from it condemns the worker."""

    def __new__(cls, arena: DocumentArena, credits: int) -> RunnerPort: ...
    def child_ends(self) -> tuple[int, int, list[int]]:
        """channel, control, documents: the caller's to pass on and to close. Once only."""

    def submit(self, requests: list[tuple[int, list[int], int]], source: tuple[int, int] = ...) -> int:
        """How many of (handle, token ids, max_tokens) were accepted. `source`: first and count of the document's tokens
        in each; none unless given."""

    def drain(self) -> list[tuple[int, str, str, str, str, int, int]]:
        """(handle, status, output, reason, finish reason, tokens in, tokens out) of all published completions."""

    def wait(self, timeout_ms: int) -> bool:
        """False: the worker closed its end."""

    def poll_fd(self) -> int: ...
    def prepare_sleep(self) -> bool: ...
    def wake(self) -> bool: ...
    def request_drain(self) -> None: ...
    def progress(self) -> tuple[int, int, int, int, int]:
        """heartbeat_ns, prompt_tokens, generated_tokens, active_rows, memory_bytes."""

    def outstanding(self) -> int: ...
    def close(self) -> list[int]:
        """The handles left; only after waitpid and a last drain."""

@final
class ExtractWorker:
    """The extract worker's end: opens its libraries at once, then serves file after file."""

    def __new__(cls, input_fd: int, output_fd: int, control_fd: int, pdfium: str | None, second_pdf: object) -> Self:
        """`second_pdf`: runner.extractor.repair.Repair, or a text that says how it is to be had."""

    @property
    def readers(self) -> list[str]:
        """Libraries and versions, or why one cannot be had."""

    def serve(self) -> None:
        """Until the runner closes its end. Keeps the GIL: the process has one thread."""

@final
class FileReader:
    """Reads one file after the other in this process, as a run's extract thread does; for the bench. PDF and office
    files are parsed here too, with nothing around them. Bound to its thread."""

    def __new__(cls, settings_json: str, pdfium: str | None) -> Self:
        """`settings_json`: IngestSettings of native/src/settings.rs; `inputs` and `threads` are not looked at."""

    @property
    def readers(self) -> list[str]:
        """Libraries and versions, or why one cannot be had."""

    def read(self, path: str) -> list[tuple[int, str, str]]:
        """A document each: 0, then "ok" and its text, or "skipped" or "failed" and the reason."""

@final
class Reading:
    """Reads the inputs once, by extract threads and extract workers as a run does, and does nothing with the documents;
    for the bench. Starts at once; the event `finished` says that it is done, `storage_failed` that it cannot go on."""

    def __new__(cls, settings_json: str) -> Self:
        """`settings_json`: IngestSettings of native/src/settings.rs."""

    def next_events(self, timeout_ms: int) -> list[dict[str, Any]]:
        """As of `Core`: converter_wanted(seat), converter_given_up(seat), finished, storage_failed(problem, error)."""

    def attach_converter(self, seat: int) -> dict[str, int]:
        """As `Core.attach_converter`."""

    def converter_died(self, seat: int, cause: str) -> None:
        """After waitpid."""

    def converter_cannot_start(self, seat: int, problem: str) -> None:
        """No extract worker can be had on this seat."""

    def take_rows(self) -> list[tuple[int, str, str]]:
        """What was read since the last call, in the order of the inputs: number of the file, then as `FileReader`."""

@final
class Chunker:
    """Cuts texts as `prepare` does before it counts the template; for the bench."""

    def __new__(cls, tokenizer: str) -> Self:
        """`tokenizer`: a tokenizer.json. Raises ConfigProblem."""

    def cut(self, text: str, media: str, budget: int) -> list[str]:
        """Chunks of at most `budget` tokens, in order, without overlap; `media` is "markdown" or "text"."""

@final
class ChannelProbe:
    """The bare ring between two processes, for the bench."""

    @staticmethod
    def create(entries: int, slot_bytes: int, spin_us: int) -> ChannelProbe: ...
    @staticmethod
    def attach(region_fd: int, control_fd: int, entries: int, slot_bytes: int, spin_us: int) -> ChannelProbe: ...
    def child_ends(self) -> tuple[int, int]: ...
    def next_out(self) -> int:
        """Offset of the payload that goes with the next line out."""

    def next_in(self) -> int: ...
    def push(self, value: int) -> int:
        """Publishes one line; the next payload offset."""

    def pop(self) -> int:
        """Waits for one line; the next payload offset."""

    def push_lines(self, words: np.ndarray[Any, np.dtype[np.uint64]]) -> None:
        """Publishes lines of 8 words each in one go, waiting for room."""

    def pop_lines(self, words: np.ndarray[Any, np.dtype[np.uint64]]) -> int:
        """Waits; fills whole lines of 8 words; how many."""

    def ping(self, count: int, bytes: int) -> list[int]:
        """Half round trips in ns, all in Rust; the peer runs `echo`."""

    def echo(self, count: int, bytes: int) -> None: ...
    def blast(self, count: int, batch: int, bytes: int) -> None:
        """The peer runs `swallow`."""

    def swallow(self, count: int, batch: int, bytes: int) -> None: ...
