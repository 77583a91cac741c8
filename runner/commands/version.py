"""`runner version`: what is installed. With --json it lists the parts.

Imports neither Hydra nor numpy nor the native core.

Called by cli. The plain form imports next to nothing: it is what scripts call most.
"""

import os
import sys

PARTS = ("hydra-core", "omegaconf", "mlx", "mlx-lm", "numpy", "structlog")
FOLDER = "mlx_runner-"


def own_version() -> str:
    """From the name of our .dist-info folder; importlib.metadata would cost more than all the rest."""
    for place in sys.path:
        try:
            names = os.listdir(place or ".")  # noqa: PTH208 - pathlib costs as much as the rest
        except OSError:  # an entry of sys.path may be a zip file or not be there
            continue
        for name in names:
            if name.startswith(FOLDER) and name.endswith(".dist-info"):
                return name.removeprefix(FOLDER).removesuffix(".dist-info")
    return "checkout"


def installed(name: str) -> str | None:
    """Version of a distribution, None when it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def main(argv: list[str]) -> int:
    """Prints one line, or a JSON object with --json."""
    if argv and argv[0] in ("-h", "--help"):
        print("usage: runner version [--json]\n\nThe version of the runner; with --json also those of its parts.")
        return 0
    if wrong := [word for word in argv if word != "--json"]:
        from runner.errors import UsageError

        raise UsageError(f"runner version takes no '{wrong[0]}'", "runner version [--json]")
    python = ".".join(map(str, sys.version_info[:3]))
    if argv:
        import json

        parts = {name: installed(name) for name in PARTS}
        print(json.dumps({"runner": own_version(), "python": python, "parts": parts}, indent=2))
    else:
        print(f"runner {own_version()} (Python {python}, {sys.platform})")
    return 0
