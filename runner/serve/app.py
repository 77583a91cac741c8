"""HTTP: OpenAI's paths for files, batches and models over State and Dispatch, and who may call them.

A page in a browser may not (Origin), nor a name that was rebound to this machine (Host), nor, where a token is set,
anybody without it. Sizes are bounded while they are read. Needs the extra `serve`; called by the serve command.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runner.batch.requests import URL
from runner.errors import RunnerError
from runner.serve.dispatch import Dispatch
from runner.serve.state import ENDED, Object, State

_JSON_BYTES: Final = 1 << 20
_FORM_BYTES: Final = 64 << 10
"""What a form has around its file."""


@dataclass(frozen=True, slots=True)
class Door:
    """Who may come in. `hosts`: values of the Host header; a `token` of None lets everybody on this machine."""

    hosts: tuple[str, ...]
    token: str | None
    most_bytes: int


class Wrong(HTTPException):
    """An answer that is OpenAI's error object."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(status, message)
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.error = {"message": message, "type": kind, "param": param, "code": code}


def _error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Wrong):
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = str(error.detail) if isinstance(error, HTTPException) else str(error)
        error = Wrong(status, text)
    return JSONResponse({"error": error.error}, error.status_code)


class Guard:
    """In front of every path: Origin, token, size."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As every ASGI application."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = Request(scope)
        wrong = self._refusal(request)
        if wrong is not None:
            return await _error(request, wrong)(scope, receive, send)
        seen, most = 0, self._door.most_bytes + _FORM_BYTES

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise Wrong(413, f"The body is over {self._door.most_bytes} bytes.", "file_too_large")
            return message

        return await self._app(scope, bounded, send)

    def _refusal(self, request: Request) -> Wrong | None:
        if "origin" in request.headers:
            return Wrong(403, "This server answers no pages of a browser.")
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._door.token is not None and not hmac.compare_digest(given.encode(), self._door.token.encode()):
            return Wrong(401, "Incorrect API key provided.", "invalid_api_key")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._door.most_bytes + _FORM_BYTES:
            return Wrong(413, f"The body is over {self._door.most_bytes} bytes.", "file_too_large")
        return None


class Api:
    """One method a path."""

    def __init__(self, state: State, dispatch: Dispatch, model: str) -> None:
        self._state, self._dispatch, self._model = state, dispatch, model

    def routes(self) -> list[Route]:
        """All of them."""
        table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("POST", "/v1/files", self.upload),
            ("GET", "/v1/files", self.list_files),
            ("GET", "/v1/files/{id}", self.get_file),
            ("DELETE", "/v1/files/{id}", self.delete_file),
            ("GET", "/v1/files/{id}/content", self.content),
            ("POST", "/v1/batches", self.create),
            ("GET", "/v1/batches", self.list_batches),
            ("GET", "/v1/batches/{id}", self.get_batch),
            ("POST", "/v1/batches/{id}/cancel", self.cancel),
            ("GET", "/v1/models", self.models),
            ("GET", "/v1/models/{id:path}", self.model),
        ]
        return [Route(path, call, methods=[method]) for method, path, call in table]

    # ---- files ----

    async def upload(self, request: Request) -> Response:
        """The file arrives in a temporary file of the library, then whole in the state's folder."""
        async with request.form(max_files=1, max_fields=10) as form:
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile):
                raise Wrong(400, "The form has no file.", "missing_required_parameter", "file")
            if purpose != "batch":
                raise Wrong(400, f"purpose is {purpose!r}, it must be 'batch' here.", "invalid_value", "purpose")
            data, name = await file.read(), file.filename or "upload.jsonl"
        made = await anyio.to_thread.run_sync(self._state.add_file, data, name, "batch")
        return JSONResponse(made)

    async def list_files(self, request: Request) -> Response:
        """Newest first; `purpose` chooses."""
        purpose = request.query_params.get("purpose")
        files = [each for each in self._state.files() if purpose in (None, each["purpose"])]
        if request.query_params.get("order") == "asc":
            files.reverse()
        return _page(request, files, 10_000)

    def _file(self, request: Request) -> Object:
        found = self._state.file(request.path_params["id"])
        if found is None:
            raise Wrong(404, f"No such File object: {request.path_params['id']}", None, "id")
        return found

    async def get_file(self, request: Request) -> Response:
        """Its object."""
        return JSONResponse(self._file(request))

    async def content(self, request: Request) -> Response:
        """Its bytes."""
        path: Path = self._state.content(self._file(request)["id"])
        return FileResponse(path, media_type="application/octet-stream")

    async def delete_file(self, request: Request) -> Response:
        """Not while a batch waits to read it."""
        file_id = self._file(request)["id"]
        if any(each["input_file_id"] == file_id and each["status"] not in ENDED for each in self._state.batches()):
            raise Wrong(409, "A batch that has not ended reads this file.")
        await anyio.to_thread.run_sync(self._state.remove_file, file_id)
        return JSONResponse({"id": file_id, "object": "file", "deleted": True})

    # ---- batches ----

    async def create(self, request: Request) -> Response:
        """Validated in its turn: faults of the file are the batch's `errors`."""
        raw = await request.body()
        try:
            body = json.loads(raw) if len(raw) <= _JSON_BYTES else None
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise Wrong(400, "The body is not a JSON object.")
        if body.get("endpoint") != URL:
            raise Wrong(400, f"endpoint must be '{URL}' here.", "invalid_value", "endpoint")
        if body.get("completion_window") != "24h":
            raise Wrong(400, "completion_window must be '24h'.", "invalid_value", "completion_window")
        file_id = body.get("input_file_id")
        file = self._state.file(file_id) if isinstance(file_id, str) else None
        if file is None or file["purpose"] != "batch":
            raise Wrong(400, f"input_file_id {file_id!r} is no uploaded file.", "invalid_value", "input_file_id")
        metadata = body.get("metadata")
        if metadata is not None and not (
            isinstance(metadata, dict) and len(metadata) <= 16 and all(isinstance(v, str) for v in metadata.values())
        ):
            raise Wrong(400, "metadata must be at most 16 strings.", "invalid_value", "metadata")
        made = await anyio.to_thread.run_sync(self._state.add_batch, file["id"], URL, "24h", metadata)
        self._dispatch.wake()
        return JSONResponse(made)

    def _batch(self, request: Request) -> Object:
        found = self._state.batch(request.path_params["id"])
        if found is None:
            raise Wrong(404, f"No batch found with id '{request.path_params['id']}'.", None, "batch_id")
        return found

    async def get_batch(self, request: Request) -> Response:
        """With the counts of now."""
        batch = self._batch(request)
        return JSONResponse(await anyio.to_thread.run_sync(self._dispatch.shown, batch))

    async def list_batches(self, request: Request) -> Response:
        """Newest first."""
        return _page(request, self._state.batches(), 100, 20)

    async def cancel(self, request: Request) -> Response:
        """The run drains; what it has answered stays."""
        batch_id = self._batch(request)["id"]

        def ask() -> Object:
            with self._state.guard:
                batch = self._batch(request)
                if batch["status"] in ("validating", "in_progress"):
                    batch = self._state.change(batch_id, status="cancelling")
                elif batch["status"] != "cancelling":
                    raise Wrong(409, f"Cannot cancel a batch with status '{batch['status']}'.")
            return self._dispatch.shown(batch)

        return JSONResponse(await anyio.to_thread.run_sync(ask))

    # ---- models ----

    def _model_object(self) -> Object:
        return {"id": self._model, "object": "model", "created": 0, "owned_by": "runner"}

    async def models(self, _request: Request) -> Response:
        """The one that is served."""
        return JSONResponse({"object": "list", "data": [self._model_object()]})

    async def model(self, request: Request) -> Response:
        """That one alone."""
        if request.path_params["id"] != self._model:
            raise Wrong(404, f"The model '{request.path_params['id']}' is not served here.", "model_not_found", "model")
        return JSONResponse(self._model_object())


def _page(request: Request, rows: list[Object], most: int, usual: int | None = None) -> Response:
    """`limit` rows behind the id `after`."""
    text = request.query_params.get("limit", str(usual or most))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise Wrong(400, f"limit is {text!r}, it must be from 1 to {most}.", "invalid_value", "limit")
    after, first = request.query_params.get("after"), 0
    if after is not None:
        ids = [row["id"] for row in rows]
        if after not in ids:
            raise Wrong(400, f"after is {after!r}, which is none of these.", "invalid_value", "after")
        first = ids.index(after) + 1
    data = rows[first : first + int(text)]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return JSONResponse({"object": "list", "data": data, **ends, "has_more": first + len(data) < len(rows)})


def make(state: State, dispatch: Dispatch, model: str, door: Door) -> Starlette:
    """The application; its life starts and drains `dispatch`."""

    @contextlib.asynccontextmanager
    async def life(_app: Starlette) -> AsyncIterator[None]:
        dispatch.start()
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(dispatch.stop)

    handlers: dict[Any, Any] = {HTTPException: _error, RunnerError: _error}
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=list(door.hosts), www_redirect=False)
    return Starlette(
        routes=Api(state, dispatch, model).routes(),
        middleware=[hosts, Middleware(Guard, door=door)],
        exception_handlers=handlers,
        lifespan=life,
    )


def listen(app: Starlette, listener: socket.socket) -> None:
    """Until SIGTERM or Ctrl-C."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", server_header=False)
    uvicorn.Server(config).run(sockets=[listener])
