"""`runner bench channel`, `ingest PATH`, `chunk PATH`, `engine PATH`, `structured PATH`, `shapes`, `monitoring`:
measure a part of this runner and print the figures. Called by cli."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.commands.parser import Parser


def main(argv: list[str]) -> int:
    """--json prints one object."""
    parser = Parser(prog="runner bench", description="Measure a part of this runner and its peers.")
    parts = parser.add_subparsers(dest="part", required=True, metavar="part", parser_class=Parser)
    channel = parts.add_parser("channel", help="latency and throughput of the shared-memory channel")
    ingest = parts.add_parser("ingest", help="speed and quality of reading documents, beside other readers")
    chunk = parts.add_parser("chunk", help="speed of cutting documents into chunks, beside other chunkers")
    engine = parts.add_parser("engine", help="documents a minute of a whole run, its ceiling, and mlx-lm alone")
    for part in (ingest, chunk):
        _effort_words(part)
    ingest.add_argument("--formats", type=_names, metavar="NAMES", help="html,pdf,...: these alone")
    ingest.add_argument("--peers", type=_names, metavar="NAMES", help="markitdown,...: these alone; '' = none")
    ingest.add_argument("--threads", type=_counts, metavar="N,N", help="whole passes as a run makes them (1,2)")
    chunk.add_argument("--tokenizer", metavar="FILE", help="a tokenizer.json (that of the model a run would take)")
    chunk.add_argument("--budget", type=_positive(int), metavar="N", help="most tokens of a chunk (512)")
    _engine_words(engine)
    structured = parts.add_parser("structured", help="answers that fit a schema: held to it, free, and what it costs")
    _structured_words(structured)
    shapes = parts.add_parser("shapes", help="prompt and generation speed by batch size, beside mlx-lm's own")
    _shapes_words(shapes)
    monitoring = parts.add_parser("monitoring", help="what samples, alerts and Prometheus cost a run")
    monitoring.add_argument("overrides", nargs="*", help="as for a run; without model.engine the scripted one answers")
    monitoring.add_argument("--pairs", type=_positive(int), default=20)
    monitoring.add_argument("--documents", type=_positive(int), default=20_000)
    monitoring.add_argument("--seed", type=int, default=1, help="of the order (1)")
    for part in (channel, ingest, chunk, engine, structured, shapes, monitoring):
        part.add_argument("--json", action="store_true", help="one JSON object on stdout")
    given = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
    match given.pop("part"):
        case "channel":
            from runner.bench.channel import run_channel_bench

            return run_channel_bench(**given)
        case "engine":
            return _engine(**given)
        case "structured":
            return _structured(**given)
        case "shapes":
            from runner.bench.shapes import Shapes, run_shapes_bench

            as_json = given.pop("json")
            return run_shapes_bench(Shapes(**{**given, "overrides": tuple(given["overrides"])}), as_json)
        case "monitoring":
            from runner.bench import monitoring as watching

            as_json = given.pop("json")
            plan = watching.Plan(**{**given, "overrides": tuple(given["overrides"])})
            return watching.run_monitoring_bench(plan, as_json)
        case "ingest":
            from runner.bench.ingest import Options, run_ingest_bench

            return run_ingest_bench(Options(effort=_effort(given), **given))
        case _:
            from runner.bench import chunk as bench

            return bench.run_chunk_bench(bench.Options(effort=_effort(given), **given))


def _effort_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files and folders to read")
    parser.add_argument("--peer-python", metavar="PATH", help="interpreter that has the peers (this one)")
    parser.add_argument("--seconds", type=_positive(float), metavar="N", help="for each reader and format, about (60)")
    parser.add_argument("--rounds", type=_positive(int), metavar="N", help="timed rounds behind the warm-up (3)")
    longest = "of one file, then the reader is killed (60)"
    parser.add_argument("--file-seconds", dest="file_s", type=_positive(float), metavar="N", help=longest)
    parser.add_argument("--seed", type=int, metavar="N", help="of the order (1)")


def _effort(given: dict[str, Any]) -> Any:
    """Takes its words out of `given`."""
    from runner.bench.ingest.measure import Effort

    names = ("seconds", "rounds", "file_s", "seed")
    return Effort(**{name: given.pop(name) for name in names if name in given})


def _engine_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, metavar="PATH", help="folder of text files")
    parser.add_argument("overrides", nargs="*", help="as for a run: +profile=NAME key=value")
    parser.add_argument("--documents", type=_positive(int), default=64)
    parser.add_argument("--tokens", type=_positive(int), nargs=2, default=(100, 500), metavar=("LEAST", "MOST"))
    parser.add_argument("--max-tokens", type=_positive(int), default=48, help="generated for every document, exactly")
    parser.add_argument("--rounds", type=_positive(int), default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the choice and of the order (1)")
    parser.add_argument("--stock", action="store_true", help="also mlx-lm as pip installs it, on 8 documents: slow")
    parser.add_argument(
        "--only", type=_names, metavar="NAMES", help="run,ceiling,...: names that begin so; the run always"
    )
    parser.add_argument("--llama-python", metavar="PATH", help="also llama.cpp: interpreter with llama_cpp and gguf")


def _shapes_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", help="as for a run: +profile=NAME key=value")
    parser.add_argument("--prompt", type=_positive(int), default=512, metavar="TOKENS")
    parser.add_argument("--generate", type=_positive(int), default=128, metavar="TOKENS")
    parser.add_argument("--rows", type=_counts, default=(1, 2, 4, 8, 16), metavar="N,N", help="rows of one worker")
    parser.add_argument("--rounds", type=_positive(int), default=3)
    parser.add_argument("--seed", type=int, default=1)


def _engine(tokens: tuple[int, int], corpus: Path, overrides: list[str], json: bool, **given: Any) -> int:
    from runner.bench.engine import Plan, run_engine_bench

    least, most = tokens
    plan = Plan(corpus.resolve(), least_tokens=least, most_tokens=most, overrides=tuple(overrides), **given)
    return run_engine_bench(plan, json)


def _structured_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, metavar="PATH", help="folder of text files")
    parser.add_argument("overrides", nargs="*", help="as for a run: +profile=NAME key=value")
    parser.add_argument("--documents", type=_positive(int), default=200)
    parser.add_argument("--tokens", type=_positive(int), nargs=2, default=(100, 500), metavar=("LEAST", "MOST"))
    parser.add_argument("--max-tokens", type=_positive(int), default=256, help="of an answer, at most (256)")
    parser.add_argument("--rounds", type=_positive(int), default=1, help="whole runs of each way (1)")
    parser.add_argument("--mask-rounds", type=_positive(int), default=9, help="passes of the masks alone (9)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice and of the order (1)")
    parser.add_argument("--repair", action="store_true", help="also free answers that are sent back once")


def _structured(tokens: tuple[int, int], corpus: Path, overrides: list[str], json: bool, **given: Any) -> int:
    from runner.bench.structured import Plan, run_structured_bench

    least, most = tokens
    plan = Plan(corpus.resolve(), least_tokens=least, most_tokens=most, overrides=tuple(overrides), **given)
    return run_structured_bench(plan, json)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_positive(int)(count) for count in text.split(",") if count)


def _positive(kind: Callable[[str], float]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    read.__name__ = kind.__name__  # argparse names it when the text is no number
    return read
