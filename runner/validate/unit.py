"""One unit of work, timed: whole lives of the core with the scripted engine in this process, each from opening the
journal to closing it. Run as a script under the build that is measured, so that both builds do the very same.

Reads a line `{"overrides": [...]}`, answers `{"ready": true}`; then for each line `{"input": FOLDER}` does a unit and
answers `{"wall_s", "cpu_s", "ok"}`. The worker is a thread here: a process would cost more to start than a unit.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner import machine, models
from runner.channel import Channel, ChannelClosed
from runner.config.compose import compose
from runner.config.schema import RunnerConfig
from runner.engine.scripted import Script, ScriptedEngine
from runner.run import settings
from runner.run.door import make_core
from runner.worker.loop import Loop, LoopSettings

_TURN_MS = 200
LIVES = 3
"""Of one unit; the cheapest counts, by measure. On a crowded machine (load 17 on two cores) the spread of a pair's
processor time falls from 6.2 to 2.3 % by it: what other processes do to caches and cores only ever adds."""


class Bench:
    """Everything that the lives have in common: composed once, outside of the timing."""

    def __init__(self, overrides: list[str], scratch: Path) -> None:
        self.scratch = scratch
        self.boot_id = machine.detect().boot_id
        self.config = compose(overrides, machine.detect())
        self.model = models.resolve(settings.model_choice(self.config.model), models.cache_dir())
        job = self.config.job
        self.prompt = models.render_prompt(
            self.model, job.system_prompt, self.config.model.enable_thinking, job.answer_prefix
        )
        self.script = Script.from_json(self.config.model.script)
        self.lives = 0

    def life(self, folder: str) -> dict[str, Any]:
        """One run over `folder`, in a run folder that is removed behind it."""
        self.lives += 1
        run = self.scratch / f"run{self.lives}"
        run.mkdir()
        config = replace(self.config, inputs=(folder,))
        wanted = settings.core_settings(
            config,
            self.model,
            self.prompt,
            run_id="unit",
            run_dir=str(run),
            index_path=str(self.scratch / "index.sqlite"),
        )
        core = make_core(json.dumps(wanted))
        core.survey()
        wall, cpu = time.perf_counter(), time.process_time()
        core.open(self.boot_id)
        core.start()
        worker = threading.Thread(target=self._work, args=(config, core.attach(0)))
        worker.start()
        core.ready(0)
        ended = False
        while not ended:
            ended = any(event["event"] == "finished" for event in core.next_events(_TURN_MS))
        core.died(0, "drained", False)
        worker.join()
        ok = core.counters()["ok"]
        core.close()
        found = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "ok": ok}
        shutil.rmtree(run)
        return found

    def _work(self, config: RunnerConfig, attachment: dict[str, Any]) -> None:
        channel = Channel.inherit(
            attachment["channel_fd"], attachment["control_fd"], attachment["document_fds"], config.channel.spin_us
        )
        rows = config.batching.max_num_seqs
        engine = ScriptedEngine(self.model.path, self.script, rows, settings.max_model_len(config, self.model))
        loop = Loop(
            channel, engine, LoopSettings(rows, False, False, "", 0, 0), None, None, threading.Event(), lambda: 0
        )
        try:
            loop.run()
        except ChannelClosed:
            return


def main() -> int:
    """0 at the end of the input."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    with tempfile.TemporaryDirectory(prefix="runner-validate-") as scratch:
        bench = Bench(json.loads(sys.stdin.readline())["overrides"], Path(scratch))
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            lives = [bench.life(json.loads(line)["input"]) for _ in range(LIVES)]
            print(json.dumps({name: min(life[name] for life in lives) for name in lives[0]}), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
