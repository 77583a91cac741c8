"""`runner bench channel`: measures a part of this runner and prints the figures. Called by cli."""

from runner.errors import UsageError


def main(argv: list[str]) -> int:
    """`channel` is the only part so far; --json prints one object."""
    words = [word for word in argv if word != "--json"]
    if words != ["channel"]:
        raise UsageError(f"bench: {' '.join(words) or 'nothing'} cannot be measured", "runner bench channel [--json]")
    from runner.bench.channel import run_channel_bench

    return run_channel_bench("--json" in argv)
