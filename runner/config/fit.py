"""Memory pools and cores of this machine from what the configuration says, and a profile made for another machine
fitted to it.

Pure: machine facts come in, numbers, notes and problems go out. A value that the command line sets itself is never
changed; if it does not fit, that is a problem. Called by `door`.
"""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Literal

from runner.config.schema import BatchingConfig, Cores, CoresTree, Fitted, MachineConfig, Memory, MemoryTree, Tree
from runner.config.sizes import RULE, format_size, parse_size
from runner.errors import Problem
from runner.machine import SLOW, Machine

GIB = 2**30
# Shares of what `auto` pools divide after the others are taken: 60 : 45 : 15 of the 128 GiB split.
AUTO_SHARES = {"rust": 60, "mlx": 45, "ipc": 15}
POOLS = ("rust", "mlx", "ipc", "system")


def least_system(memory: int) -> int:
    """The reserve of the system: at least max(2 GiB, 6 %)."""
    return max(2 * GIB, memory * 6 // 100)


def differences(wanted: MachineConfig, here: Machine) -> list[str]:
    """Why this is not the machine the profile was made for; empty when it is."""
    out = []
    if wanted.os is not None and wanted.os != here.os:
        out.append(f"system {here.os} instead of {wanted.os}")
    if wanted.arch is not None and wanted.arch != here.arch:
        out.append(f"{here.arch} instead of {wanted.arch}")
    if wanted.chip is not None and wanted.chip.lower() not in here.chip.lower():
        out.append(f"chip {here.chip} instead of {wanted.chip}")
    if wanted.memory is not None:
        size = parse_size(wanted.memory, here.memory_bytes)
        if size is not None and here.memory_bytes < size * 0.97:  # firmware and kernel keep a few percent
            out.append(f"{format_size(here.memory_bytes)} of memory instead of {wanted.memory}")
    if wanted.performance_cores is not None and here.physical_cores < wanted.performance_cores:
        out.append(f"{here.physical_cores} cores instead of {wanted.performance_cores}")
    if wanted.numa_nodes is not None and max(1, len(here.nodes)) < wanted.numa_nodes:
        out.append(f"{max(1, len(here.nodes))} NUMA node instead of {wanted.numa_nodes} or more")
    if wanted.battery is not None and wanted.battery != here.battery:
        out.append("a battery instead of none" if here.battery else "no battery")
    return out


@dataclasses.dataclass(slots=True)
class Fit:
    """One fitting under way: facts in, notes and problems out."""

    machine: Machine
    explicit: Collection[str]
    foreign: bool
    notes: list[Fitted] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def is_explicit(self, key: str) -> bool:
        """The command line set the key or chose its group."""
        return key in self.explicit or key.split(".", maxsplit=1)[0] in self.explicit

    def note(self, key: str, was: object, now: object, why: str) -> None:
        """A change that the user is told."""
        self.notes.append(Fitted(key, str(was), str(now), why))

    def problem(self, text: str, cure: str) -> None:
        """Something that stops the run."""
        self.problems.append(Problem(text, cure))


def fit_memory(tree: MemoryTree, fit: Fit) -> Memory | None:
    """The pools in bytes, or None after a problem."""
    here = fit.machine.memory_bytes
    before = len(fit.problems)
    total = _size(fit, "memory.total", tree.total, here)
    if total is None:
        total = here
    scale = 1.0
    if total > here:
        if fit.is_explicit("memory.total") or not fit.foreign:
            fit.problem(
                f"memory.total is {tree.total}, this machine has {format_size(here)} ({fit.machine.memory_limit})",
                "memory=auto takes the total from the machine",
            )
            return None
        scale = here / total
        fit.note("memory.total", tree.total, format_size(here), f"this machine has {format_size(here)}")
    sizes: dict[str, int | None] = {}
    for name in POOLS:
        key, text = f"memory.{name}", str(getattr(tree, name))
        # A percentage is of the total of this machine, already fitted; only absolute sizes need scaling.
        size = _size(fit, key, text, int(total * scale))
        if size is not None and scale < 1.0 and "%" not in text and not fit.is_explicit(f"{key}"):
            size = int(size * scale)
            if name != "system":
                fit.note(key, text, format_size(size), f"scaled by {scale:.2f} like memory.total")
        sizes[name] = size
    if len(fit.problems) > before:
        return None
    pools = _share(tree, sizes, int(total * scale), scale, fit)
    _check_pools(pools, int(total * scale), fit)
    cache = _size(fit, "memory.mlx_cache", tree.mlx_cache, pools["mlx"])
    if len(fit.problems) > before:
        return None
    return Memory(
        physical_bytes=here,
        total_bytes=int(total * scale),
        rust_bytes=pools["rust"],
        mlx_bytes=pools["mlx"],
        ipc_bytes=pools["ipc"],
        system_bytes=pools["system"],
        mlx_cache_bytes=cache if cache is not None else min(2 * GIB, pools["mlx"] // 8),
        wired=_wired(tree, fit),
    )


def _size(fit: Fit, key: str, text: str, whole: int) -> int | None:
    try:
        return parse_size(text, whole)
    except ValueError as error:
        fit.problem(f"{key}: {error}", RULE)
        return None


def _share(tree: MemoryTree, sizes: dict[str, int | None], total: int, scale: float, fit: Fit) -> dict[str, int]:
    """`auto` pools filled in. A scaled profile also gives up what the system's floor takes from the other pools."""
    floor = least_system(fit.machine.memory_bytes)
    system = sizes["system"]
    if system is None:
        system = min(floor, total)
    elif system < floor and (scale < 1.0 or "%" in tree.system) and not fit.is_explicit("memory.system"):
        fit.note("memory.system", tree.system, format_size(floor), "the system keeps at least max(2 GiB, 6 %)")
        system = floor
    given = sum(size for name, size in sizes.items() if size is not None and name != "system")
    free = max(0, total - system - given)
    if scale < 1.0 and given > total - system > 0:
        squeeze = (total - system) / given
        sizes = {
            name: size if size is None or fit.is_explicit(f"memory.{name}") else int(size * squeeze)
            for name, size in sizes.items()
        }
        fit.notes[:] = [
            dataclasses.replace(note, now=format_size(sizes[pool] or 0))
            if (pool := note.key.removeprefix("memory.")) in AUTO_SHARES and sizes[pool] is not None
            else note
            for note in fit.notes
        ]
    waiting = {name: AUTO_SHARES[name] for name in AUTO_SHARES if sizes[name] is None}
    weight = sum(waiting.values())
    out = {name: free * share // weight for name, share in waiting.items()}
    out |= {name: size for name, size in sizes.items() if size is not None}
    out["system"] = system
    return out


def _check_pools(pools: dict[str, int], total: int, fit: Fit) -> None:
    listed = ", ".join(f"{name} {format_size(pools[name])}" for name in POOLS)
    over = sum(pools[name] for name in POOLS) - total
    if over > 0:
        largest = max(("rust", "mlx"), key=lambda name: pools[name])
        fit.problem(
            f"memory: pools add up to {format_size(total + over)} ({listed}) but memory.total is {format_size(total)}",
            f"lower memory.{largest} by {format_size(over)} or more, or choose memory=auto",
        )
        return
    here = fit.machine.memory_bytes
    floor = least_system(here)
    unused = here - total  # what memory.total leaves out stays with the system, too
    if pools["system"] + unused < floor:
        outside = f" and memory.total leaves {format_size(unused)} out" if unused else ""
        # Raised alone it would only break the sum: the pools have to make room for it.
        fit.problem(
            f"memory.system is {format_size(pools['system'])}{outside}, the system keeps at least max(2 GiB, 6 % of "
            f"{format_size(here)})",
            f"memory.system=auto, and lower memory.rust by {format_size(floor - unused - pools['system'])} if the "
            "pools add up to more than memory.total then; or choose memory=auto",
        )
    for name, least in (("rust", 16 * 2**20), ("mlx", 64 * 2**20), ("ipc", 4 * 2**20)):
        if pools[name] < least:
            fit.problem(
                f"memory.{name} is {format_size(pools[name])}, it must be at least {format_size(least)}",
                f"memory.{name}=auto, or run on a machine with more memory",
            )


def _wired(tree: MemoryTree, fit: Fit) -> Literal["off", "fit", "max"]:
    """`wired` only means something where there is a Metal GPU."""
    if tree.wired == "off" or fit.machine.metal:
        return tree.wired
    if fit.is_explicit("memory.wired"):
        fit.problem(f"memory.wired is {tree.wired}, this machine has no Metal GPU", "memory.wired=off")
    else:
        fit.note("memory.wired", tree.wired, "off", "does not apply: no Metal GPU")
    return "off"


# ---- cores ----


def fit_cores(tree: CoresTree, scripted: bool, for_gpu: bool, fit: Fit) -> Cores:
    """Workers, threads and pins. On a GPU machine one worker; on CPU as many one-thread workers as physical cores
    (measured faster than one worker with many threads)."""
    here = _usable_cores(tree, fit)
    threads = tree.threads_per_worker
    if threads is None:
        threads = here if fit.machine.metal else 1
    elif threads > here:
        threads = _reduce(fit, "cores.threads_per_worker", threads, here, "physical cores")
    workers = tree.workers
    room = 1 if fit.machine.metal else max(1, here // threads)
    if workers is None:
        workers = room
    elif workers < room and for_gpu and fit.foreign and not fit.is_explicit("cores.workers"):
        fit.note("cores.workers", workers, room, "no GPU to share: one worker for each core")
        workers = room
    elif workers > room and not scripted:
        rule = (
            "worker on a Metal GPU" if fit.machine.metal else f"workers of {threads} threads on {here} physical cores"
        )
        workers = _reduce(fit, "cores.workers", workers, room, rule)
    rust, whole = tree.rust_threads, fit.machine.physical_cores
    if rust is None:
        rust = min(8, whole)
    elif rust > whole:
        rust = _reduce(fit, "cores.rust_threads", rust, whole, "physical cores")
    cpus = fit.machine.pinnable(slow=tree.kinds == "all")
    pins = pinned(workers, threads, cpus, fit.machine.nodes) if tree.pin == "auto" else ()
    pins = pins or ((),) * workers
    return Cores(workers=workers, threads_per_worker=threads, rust_threads=rust, worker_cpus=pins)


def _usable_cores(tree: CoresTree, fit: Fit) -> int:
    """Cores that work is given to: of the kinds asked for, less the spare ones; always one."""
    here = fit.machine.physical_cores
    if tree.kinds == "performance" and fit.machine.count(SLOW):
        here = min(here, max(1, here - fit.machine.count(SLOW)))
    if tree.spare >= here and tree.spare and fit.is_explicit("cores.spare"):
        fit.problem(f"cores.spare is {tree.spare}, and there are {here} cores", f"cores.spare={here - 1}")
    return max(1, here - tree.spare)


def pinned(
    workers: int, threads: int, cpus: Sequence[int], nodes: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], ...]:
    """CPUs of each worker, or () when there are too few. On several NUMA nodes the workers go round them, each on one
    node if it fits: first touch then puts a worker's weights into its own node's memory."""
    if workers * threads > len(cpus):
        return ()
    rows = [[cpu for cpu in cpus if cpu in node] for node in nodes] if len(nodes) > 1 else [list(cpus)]
    out: list[tuple[int, ...]] = []
    turn = 0
    while len(out) < workers:
        ready = [row for row in rows if len(row) >= threads]
        if not ready:  # what is left of each node is too little for one worker: across nodes
            left = [cpu for row in rows for cpu in row]
            out += [tuple(left[at * threads : (at + 1) * threads]) for at in range(workers - len(out))]
            break
        row = ready[turn % len(ready)]
        turn += 1
        out.append(tuple(row[:threads]))
        del row[:threads]
    return tuple(out)


def _reduce(fit: Fit, key: str, wanted: int, most: int, of_what: str) -> int:
    if fit.is_explicit(key) or not fit.foreign:
        fit.problem(
            f"{key} is {wanted}, there is room for {most} {of_what}", f"{key}={most}, or {key}=null for automatic"
        )
    else:
        fit.note(key, wanted, most, f"there is room for {most} {of_what}")
    return most


# ---- batching and what does not apply ----


def fit_batching(tree: BatchingConfig, machine: MachineConfig, fit: Fit) -> BatchingConfig:
    """Rows of a profile for a GPU machine are more than a CPU can use: 8 rows are where CPU throughput ends to
    grow."""
    tree = _prefill_within_rows(tree, fit)
    if not fit.foreign or machine.os != "darwin" or fit.machine.metal:
        return tree

    def capped(name: str, value: int, most: int) -> int:
        if value <= most or fit.is_explicit(f"batching.{name}"):
            return value
        fit.note(f"batching.{name}", value, most, "no GPU: more gains nothing on CPU cores")
        return most

    rows = capped("max_num_seqs", tree.max_num_seqs, 8)
    return dataclasses.replace(
        tree,
        max_num_seqs=rows,
        prefill_batch_size=min(rows, capped("prefill_batch_size", tree.prefill_batch_size, 4)),
        prefill_step_size=capped("prefill_step_size", tree.prefill_step_size, 512),
    )


def _prefill_within_rows(tree: BatchingConfig, fit: Fit) -> BatchingConfig:
    """Who asks for fewer rows than a profile prefills at once means just that: `-m batching.max_num_seqs=4,8,16` works
    as it stands. A prefill that was asked for itself is never changed."""
    rows, prefill = tree.max_num_seqs, tree.prefill_batch_size
    if not prefill > rows >= 1:
        return tree
    if "batching.prefill_batch_size" in fit.explicit:
        fit.problem(
            f"batching.prefill_batch_size is {prefill}, it must not exceed batching.max_num_seqs ({rows})",
            f"batching.prefill_batch_size={rows}, or raise batching.max_num_seqs",
        )
        return tree
    fit.note("batching.prefill_batch_size", prefill, rows, "there are no more rows: batching.max_num_seqs")
    return dataclasses.replace(tree, prefill_batch_size=rows)


def fit_tree(tree: Tree, fit: Fit) -> tuple[Memory | None, Cores, BatchingConfig]:
    """Everything that depends on the machine. `machine.strict` turns a foreign machine into a problem."""
    unlike = differences(tree.machine, fit.machine)
    if unlike and tree.machine.strict:
        fit.problem(
            f"machine.strict is true and this is not the machine {tree.machine.name}: {'; '.join(unlike)}",
            "machine.strict=false fits the profile, runner profiles lists the ones for this machine",
        )
    fit.foreign = bool(unlike)
    memory = fit_memory(tree.memory, fit)
    cores = fit_cores(tree.cores, tree.model.engine == "scripted", tree.machine.os == "darwin", fit)
    batching = fit_batching(tree.batching, tree.machine, fit)
    return memory, cores, batching
