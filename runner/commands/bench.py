"""`runner bench channel`: measures a part of this runner and prints the figures. Called by cli."""

from runner.commands.parser import Parser


def main(argv: list[str]) -> int:
    """`channel` is the only part so far; --json prints one object."""
    parser = Parser(prog="runner bench", description="Measure a part of this runner and its peers.")
    parser.add_argument("part", choices=["channel"], help="latency and throughput of the shared-memory channel")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    from runner.bench.channel import run_channel_bench

    return run_channel_bench(options.json)
