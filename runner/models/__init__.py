"""Model sources: where weights come from, what they cost, and how the job's prompt is rendered. Never imports mlx.

`resolve` turns a choice into a local mlx-lm folder with known facts; `render_prompt` turns a system prompt into the
token ids around a document. Both do their heavy work in an exec'ed worker and keep the answer on disk, so that a run
with nothing to do starts no worker. Called by run, plan, doctor and the `models` command.
"""

from runner.models.cache import cache_dir
from runner.models.choice import EMBEDDED, ModelChoice
from runner.models.folder import ModelFolder
from runner.models.prompts import Prompt, render_prompt
from runner.models.sources import is_here, resolve

__all__ = ["EMBEDDED", "ModelChoice", "ModelFolder", "Prompt", "cache_dir", "is_here", "render_prompt", "resolve"]
