"""A fake machine, lives of a runner that tunes it, kills, and what is left changed afterwards. For test_kills."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from runner.tuning.system import SystemScope
from tests.tuning import fake_root, life

ROOT = Path(__file__).parents[2]
ALL = ",".join(fake_root.STEPS)
WAIT_S = 60.0


class Rig:
    """One fake root, or the machine itself. `left()` after a recover must be empty whatever was killed."""

    def __init__(self, base: Path, real: bool = False) -> None:
        self.root, self.state, self.trace = base / "root", base / "state", base / "trace"
        self.real = real
        self.steps = fake_root.REAL_STEPS if real else fake_root.STEPS
        if not real:
            fake_root.machine(self.root)
        self.original = self.settings()
        self.lives: list[subprocess.Popen[str]] = []

    def start(self, *prefix: str, steps: str = ALL, plant: str = "") -> "subprocess.Popen[str]":
        """One life. `prefix`: a command in front (strace)."""
        tune_root = "" if self.real else str(self.root)
        environment = {**os.environ, "TUNE_ROOT": tune_root, "PYTHONPATH": str(ROOT)}
        command = [
            *prefix,
            sys.executable,
            str(Path(life.__file__)),
            str(self.state),
            steps,
            *([plant] if plant else []),
        ]
        started = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.lives.append(started)
        return started

    def until_tuned(self, started: "subprocess.Popen[str]") -> bool:
        assert started.stdout is not None
        return started.stdout.readline() == "tuned\n"

    def let_go(self, started: "subprocess.Popen[str]") -> None:
        """The life puts back and ends by itself, or is dead already."""
        try:
            started.communicate("\n", WAIT_S)
        except (BrokenPipeError, ValueError):
            started.wait(WAIT_S)

    def guard(self, started: "subprocess.Popen[str]") -> int | None:
        """Its process, once it is there."""
        try:
            children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        for child in children:
            try:
                if b"guard/__main__.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
            except FileNotFoundError:
                continue
        return None

    def kill(self, started: "subprocess.Popen[str]", whom: str) -> int | None:
        """`runner`, `guard` or `both`. Returns the guard, when it lives on."""
        guard = self.guard(started)
        if guard and whom in ("guard", "both"):
            os.kill(guard, signal.SIGKILL)
        if whom in ("runner", "both"):
            started.kill()
            started.wait(WAIT_S)
            return guard if whom == "runner" else None
        self.let_go(started)
        return None

    def random_kill(self, chance: random.Random, window_s: float, plant: str = "") -> bool:
        """One life killed somewhere in its way. True when something was set at that moment."""
        names = chance.sample(sorted(self.steps), chance.choice((1, 1, 2)))
        started = self.start(steps=",".join(names), plant=plant)
        if chance.random() < 0.5:  # from its start on, or while it puts back
            self.until_tuned(started)
            if chance.random() < 0.7 and started.stdin is not None and started.poll() is None:
                started.stdin.write("\n")
                started.stdin.flush()
        try:
            started.wait(chance.uniform(0, window_s))
        except subprocess.TimeoutExpired:
            changed = bool(self.left())
            guard = self.kill(started, chance.choice(("runner", "guard", "both")))
            if guard is not None:
                self.until_gone(guard)
            return changed
        return False

    def until_gone(self, pid: int) -> None:
        deadline = time.monotonic() + WAIT_S
        while Path(f"/proc/{pid}/stat").exists() and not self._zombie(pid):
            assert time.monotonic() < deadline, "the guard does not end"
            time.sleep(0.001)

    def _zombie(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    def until_back(self, limit_s: float) -> float:
        """Seconds until every setting is as it was; `limit_s` when it does not come to that."""
        began = time.monotonic()
        while time.monotonic() - began < limit_s:
            if not self.left():
                return time.monotonic() - began
            time.sleep(0.0005)
        return limit_s

    def settings(self) -> dict[str, str]:
        """All that is set now, by path."""
        return fake_root.real_settings() if self.real else fake_root.settings(self.root)

    def left(self) -> dict[str, str]:
        """Settings that are not as they were."""
        now = self.settings()
        return {name: now[name] for name in self.original if now[name] != self.original[name]}

    def recover(self) -> dict[str, str]:
        """What the next command does, whatever it is; then what is still changed."""
        before = os.environ.get("TUNE_ROOT")
        os.environ["TUNE_ROOT"] = "" if self.real else str(self.root)
        try:
            SystemScope(
                "next", life.BOOT, system="linux", scripts_folder=ROOT / "tuning", **life.places(self.state)
            ).recover()
        finally:
            if before is None:
                del os.environ["TUNE_ROOT"]
            else:
                os.environ["TUNE_ROOT"] = before
        return self.left()

    def again(self) -> None:
        """As at the start."""
        shutil.rmtree(self.state, ignore_errors=True)
        for name, text in self.original.items():
            (self.root / name).write_text(text + "\n")

    def injected(self, strace: str, calls: str, files: tuple[Path, ...], k: int, steps: str, plant: str = "") -> bool:
        """One life in which a process dies at its k-th of these calls on these files. False when none came to k."""
        paths = [argument for file in files for argument in ("-P", str(file))]
        rule = f"inject={calls}:signal=SIGKILL:when={k}"
        started = self.start(
            strace, "-f", "-o", str(self.trace), *paths, "-e", f"trace={calls}", "-e", rule, steps=steps, plant=plant
        )  # fmt: skip
        self.let_go(started)
        return "killed by SIGKILL" in self.trace.read_text()

    def close(self) -> None:
        """Ends what a failed test left running."""
        for started in self.lives:
            if started.poll() is None:
                started.kill()
            started.wait(WAIT_S)
            for stream in (started.stdin, started.stdout):
                if stream is not None and not stream.closed:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        continue
