"""`make fuzz`: each parser's fuzzing target for a while over a corpus that grows from tests/fuzz/seeds.py.

`python -m tests.fuzz.lane BINARY FOLDER SECONDS [TARGET...]`. A finding is kept with its input below FOLDER/findings;
exit 1 when there is one. FOLDER/corpus stays for the next time.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import seeds

MEMORY_MIB = 2048
INPUT_SECONDS = 20
"""No input of at most `LONGEST` bytes may take longer, sanitizer included."""
LONGEST = 65536


@dataclass(frozen=True, slots=True)
class Outcome:
    target: str
    executions: int
    corpus: int
    edges: int
    findings: tuple[Path, ...]
    tail: str

    @property
    def line(self) -> str:
        found = ", ".join(str(path) for path in self.findings) or "nothing found"
        counts = f"{self.executions:>10,} executions, {self.corpus:>6,} inputs, {self.edges:>6,} edges"
        return f"{self.target:10} {counts}: {found}"


def fuzz(binary: Path, folder: Path, target: str, seconds: int) -> Outcome:
    """Ends after `seconds`, or with the first finding."""
    corpus, findings = folder / "corpus" / target, folder / "findings" / target
    for made in (corpus, findings):
        made.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    words = [
        str(binary), str(corpus), str(folder / "seeds" / target), f"-dict={folder / 'seeds' / f'{target}.words'}",
        f"-artifact_prefix={findings}/", f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={LONGEST}", f"-timeout={INPUT_SECONDS}", "-print_final_stats=1", "-verbosity=1",
    ]  # fmt: skip
    environment = {**os.environ, "RUNNER_FUZZ": target, "RUNNER_FUZZ_SETTINGS": str(folder / "settings.json"),
                   "ASAN_OPTIONS": "detect_leaks=0"}  # fmt: skip
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, errors="replace", timeout=seconds + 300
    )
    found = tuple(sorted(set(findings.iterdir()) - before))
    if done.returncode != 0 and not found:
        raise SystemExit(f"{target}: the fuzzer ended with {done.returncode}\n{done.stderr[-2000:]}")

    def last(pattern: str) -> int:
        seen = re.findall(pattern, done.stderr)
        return int(seen[-1]) if seen else 0

    return Outcome(
        target, last(r"stat::number_of_executed_units: (\d+)") or last(r"#(\d+)\s"), len(list(corpus.iterdir())),
        last(r"cov: (\d+)"), found, done.stderr[-3000:],
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    binary, folder, seconds, *chosen = arguments
    targets = seeds.write(Path(folder))
    if unknown := set(chosen) - set(targets):
        print(f"no such target: {', '.join(sorted(unknown))}; there are {' '.join(targets)}", file=sys.stderr)
        return 2
    red = False
    for target in chosen or targets:
        outcome = fuzz(Path(binary).resolve(), Path(folder).resolve(), target, int(seconds))
        print(outcome.line, flush=True)
        if outcome.findings:
            red = True
            print(outcome.tail, flush=True)
    return int(red)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
