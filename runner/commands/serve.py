"""`runner serve [KEY=VALUE ...]`: OpenAI's file and batch calls on this machine. Thin: serve does it. Called by cli."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import Final

from runner.commands.parser import Parser
from runner.errors import EXIT_OK, RunFailed, UsageError
from runner.layout import DEFAULT_OUTPUTS

TOKEN: Final = "RUNNER_SERVE_TOKEN"
SHORTEST_TOKEN: Final = 16


def main(argv: list[str]) -> int:
    """Until it is stopped; the batch that is under way goes on at the next start."""
    parser = Parser(prog="runner serve", description=f"Serve /v1/files and /v1/batches. A token is read from {TOKEN}.")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="as for a run: model=..., +profile=...")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (8080)")
    parser.add_argument("--state", type=Path, default=Path(DEFAULT_OUTPUTS) / "serve", help="folder (outputs/serve)")
    parser.add_argument("--max-file-mib", type=int, default=200, help="largest upload in MiB (200)")
    parser.add_argument("--expose", action="store_true", help="allow a --host that others can reach; needs a token")
    options = parser.parse_args(argv)
    token = os.environ.get(TOKEN)
    hosts = _hosts(options.host, options.expose, token)
    try:
        from runner.serve import app
    except ImportError as error:
        raise UsageError(
            f"runner serve needs {error.name}, which is not installed",
            "pip install 'mlx-runner[serve]'",
        ) from error
    from runner import machine
    from runner.batch.work import check_words
    from runner.config.compose import compose
    from runner.serve.dispatch import Dispatch
    from runner.serve.state import State
    from runner.store.folder import make_outputs

    check_words(options.words)
    config = compose([*options.words, "job=prompt", "job.template='{{ document }}'"], machine.detect())
    make_outputs(options.state.parent)
    state = State(options.state)
    listener = _listener(options.host, options.port)
    port = listener.getsockname()[1]
    name = f"[{options.host}]" if ":" in options.host else options.host
    print(
        f"serving {config.model.name} at http://{name}:{port}/v1, state in {options.state}", file=sys.stderr, flush=True
    )
    door = app.Door(hosts, token, options.max_file_mib << 20)
    app.listen(app.make(state, Dispatch(state, options.words), config.model.name, door), listener)
    return EXIT_OK


def _hosts(host: str, expose: bool, token: str | None) -> tuple[str, ...]:
    """Values of the Host header that are answered."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise UsageError(f"--host {host!r} is no address", "--host 127.0.0.1") from error
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise UsageError(
            f"{TOKEN} has {len(token)} characters, a token has at least {SHORTEST_TOKEN}", "openssl rand -hex 24"
        )
    if loopback:
        return ("localhost", "127.0.0.1", "[::1]", "::1", host)
    if not expose or token is None:
        raise UsageError(
            f"--host {host!r} can be reached from other machines",
            f"--host 127.0.0.1, or --expose with a token in {TOKEN}",
        )
    return ("*",)  # the token guards it, under whatever name the machine has


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(128)  # who reads the line that we are here can connect, even before the first is accepted
    except (OSError, OverflowError) as error:
        raise RunFailed(f"cannot listen on {host} port {port}: {error}", "--port 0 takes a free one") from error
    return made
