"""What the adapter relies on in the pinned mlx-lm: a new version that breaks one of these breaks the adapter.

Needs no model but the tiny one.
"""

import inspect
from dataclasses import fields
from importlib.metadata import version

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, GenerationBatch
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.sample_utils import make_sampler

from runner.engine.mlx_lm_adapter import MlxEngine


def test_the_pinned_version_is_installed() -> None:
    assert version("mlx-lm") == "0.32.2"


def test_the_generator_takes_the_arguments_we_give() -> None:
    made = inspect.signature(BatchGenerator.__init__).parameters
    assert {
        "model",
        "stop_tokens",
        "sampler",
        "completion_batch_size",
        "prefill_batch_size",
        "prefill_step_size",
    } <= set(made)
    inserted = list(inspect.signature(BatchGenerator.insert).parameters)
    assert inserted[:5] == ["self", "prompts", "max_tokens", "caches", "all_tokens"]
    assert {"temp", "top_p", "min_p", "top_k"} <= set(inspect.signature(make_sampler).parameters)
    assert {"stream"} <= {name for name, _ in inspect.getmembers(BatchGenerator)}


def test_a_response_has_the_fields_we_read() -> None:
    assert {"uid", "token", "finish_reason"} <= {member.name for member in fields(GenerationBatch.Response)}


def test_the_stop_token_is_returned_with_its_reason(tiny: MlxEngine) -> None:
    free = BatchGenerator(tiny._model, prefill_batch_size=1)
    free.insert([[5, 6, 7]], [4])
    produced = [response.token for _ in range(6) for response in free.next()[1]]
    stopped = BatchGenerator(tiny._model, stop_tokens=[[produced[1]]], prefill_batch_size=1)
    stopped.insert([[5, 6, 7]], [4])
    seen = [(r.token, r.finish_reason) for _ in range(6) for r in stopped.next()[1]]
    assert seen[-1] == (produced[produced.index(produced[1])], "stop")


def test_a_cache_given_to_several_rows_is_not_changed(tiny: MlxEngine) -> None:
    prefix = [5, 6, 7, 8, 9]
    cache = make_prompt_cache(tiny._model)
    tiny._model(mx.array(prefix)[None], cache=cache)
    before = [mx.array(layer.state[0]) for layer in cache]
    generator = BatchGenerator(tiny._model, prefill_batch_size=2)
    generator.insert([[10, 11], [12, 13, 14]], [5, 5], caches=[cache, cache], all_tokens=[list(prefix), list(prefix)])
    while any(response.finish_reason is None for response in generator.next()[1] or [_pending()]):
        pass
    assert [layer.offset for layer in cache] == [5] * len(cache)
    for old, layer in zip(before, cache, strict=True):
        assert mx.array_equal(old, layer.state[0])


def _pending() -> GenerationBatch.Response:
    return GenerationBatch.Response(0, 0, mx.array(0), None, None, None)
