"""The addresses: POST /predict, and what looks at a server (/healthz, /metrics, /model, /docs, and a page at /).

An answer is `{"predictions": [...]}`, an entry an image in the shape of `mocoop predict --json --experts full`; what
cannot be read has `error` in its entry. Whatever is refused is `{"error": why}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mocoop import __version__
from mocoop.certainty.doubt import Doubt
from mocoop.errors import ImageError, MoCoOpError
from mocoop.serving.batching import Batcher, Row
from mocoop.serving.limits import Limits
from mocoop.serving.metrics import CONTENT_TYPE, Metrics
from mocoop.serving.models import Model
from mocoop.web.gate import App, Gate

_DECODERS = 2  # threads; each may hold one picture of the most pixels
_MAX_NAME = 200  # characters of a file's name that come back
_PAGES = {
    "/": ("index.html", "text/html"),
    "/docs": ("docs.html", "text/html"),
    "/pages/predict.js": ("predict.js", "text/javascript"),
    "/pages/docs.js": ("docs.js", "text/javascript"),
    "/pages/style.css": ("style.css", "text/css"),
    "/pages/icon.svg": ("icon.svg", "image/svg+xml"),
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class Guess(BaseModel):
    """A class and its probability."""

    name: str = Field(alias="class")
    probability: float


class Expert(BaseModel):
    """An expert that had a say."""

    id: str
    weight: float
    templates: list[str]


class Prediction(BaseModel):
    """One image: its class, the runners-up, the experts; or why it could not be read.

    `set` and `unsure` are there if the server was started with a coverage, or a probability to be sure from.
    """

    path: str
    name: str | None = Field(None, alias="class")
    probability: float | None = None
    set: list[str] | None = None
    unsure: bool | None = None
    top_k: list[Guess] | None = None
    experts: list[Expert] | None = None
    error: str | None = None


class Predictions(BaseModel):
    """The images of a request, in order."""

    predictions: list[Prediction]


class Refusal(BaseModel):
    """Why a request was refused."""

    error: str


class Places:
    """How many images are being answered; a request takes its places before anything is decoded."""

    def __init__(self, most: int) -> None:
        self._most, self.taken = most, 0

    def take(self, count: int) -> None:
        """Raises HTTPException if there are not as many."""
        if self.taken + count > self._most:
            raise HTTPException(429, f"{self.taken} images are being answered; try again", {"Retry-After": "1"})
        self.taken += count

    def give_back(self, count: int) -> None:
        """The images were answered."""
        self.taken -= count


class Answers:
    """From the bytes of pictures to answers: decoded in a few threads, asked in batches, within the time limit."""

    def __init__(self, model: Model, limits: Limits, doubt: Doubt | None = None) -> None:
        self._model, self._limits, self._doubt = model, limits, doubt
        self.places = Places(limits.queue)
        self.metrics = Metrics(lambda: self.places.taken)
        self._batcher = Batcher(model.predict, limits.batch_size, self.metrics.batch)
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="mocoop-decode")

    async def answer(self, pictures: list[tuple[str, bytes]], top: int) -> list[dict[str, Any]]:
        """An entry for each picture (name, bytes). Raises HTTPException if there is no room, or not in time."""
        try:
            self.places.take(len(pictures))
        except HTTPException:
            self.metrics.images("refused", len(pictures))
            raise
        try:
            entries = await asyncio.wait_for(self._entries(pictures, top), self._limits.seconds)
        except asyncio.TimeoutError as error:
            self.metrics.images("refused", len(pictures))
            raise HTTPException(503, f"no answer within {self._limits.seconds:g} s; try again") from error
        finally:
            self.places.give_back(len(pictures))
        bad = sum("error" in entry for entry in entries)
        self.metrics.images("unreadable", bad)
        self.metrics.images("answered", len(entries) - bad)
        return entries

    async def _entries(self, pictures: list[tuple[str, bytes]], top: int) -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        decoded = await asyncio.gather(
            *(loop.run_in_executor(self._decoders, self._pixels, name, data) for name, data in pictures)
        )
        good = [one for one in decoded if isinstance(one, np.ndarray)]
        rows = iter(await asyncio.gather(*map(asyncio.wrap_future, self._batcher.submit(good))))
        return [
            {"path": name, "error": one} if isinstance(one, str) else self._described(name, next(rows), top)
            for (name, _), one in zip(pictures, decoded, strict=True)
        ]

    def _pixels(self, name: str, data: bytes) -> np.ndarray | str:
        """The pixels of a picture, or why it cannot be read."""
        try:
            return self._model.pixels(data, name, max_pixels=self._limits.pixels)
        except ImageError as error:
            return str(error).removeprefix(f"{name}: ")

    def _described(self, name: str, row: Row, top: int) -> dict[str, Any]:
        return self._model.describe(name, row.answer, row.row, top, self._doubt)

    def stop(self) -> None:
        """Answer what waits, then end the threads."""
        self._batcher.stop()
        self._decoders.shutdown()


def make_app(model: Model, limits: Limits, names: Iterable[str] = (), doubt: Doubt | None = None) -> App:
    """The ASGI application of a model. `names` are those it is served under, beside localhost and addresses.

    `doubt` is what each answer says of its certainty (`doubt_of`).
    """
    answers = Answers(model, limits, doubt)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        answers.stop()

    app = FastAPI(
        title="mocoop",
        version=__version__,
        summary="Classes of pictures, and the experts that decided.",
        docs_url=None,  # FastAPI's own page loads its scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_exception_handler(HTTPException, _as_json)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(MoCoOpError, _failed)
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Refusal} for status in (400, 403, 408, 413, 415, 422, 429, 503)
    }

    @app.post("/predict", response_model=Predictions, responses=refusals, openapi_extra=_BODY)
    async def predict(request: Request, top: Annotated[int, Query(ge=1, le=10_000)] = 5) -> Response:
        """Classify pictures: the files of a form, or one picture as the whole body."""
        pictures = await _pictures(request, limits)
        entries = await answers.answer(pictures, top)
        bad = all("error" in entry for entry in entries)
        why = {"error": f"{entries[0]['path']}: {entries[0]['error']}"} if bad else {}
        return JSONResponse({**why, "predictions": entries}, 422 if bad else 200)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok"}

    @app.get("/model")
    async def about() -> dict[str, Any]:
        """What is served: classes, experts, and what whoever uses the answers must know."""
        return {"classes": model.classnames, "experts": model.experts, "notes": model.notes, "limits": vars(limits)}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(answers.metrics.text(), media_type=CONTENT_TYPE)

    for address, (name, kind) in _PAGES.items():
        app.add_api_route(address, _page(name, kind), include_in_schema=False)
    return Gate(app, limits, names, answers.metrics.request)


async def _pictures(request: Request, limits: Limits) -> list[tuple[str, bytes]]:
    """The names and bytes of the pictures of a request. Raises HTTPException if there are none, or too many."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        try:
            async with request.form(max_files=limits.images, max_fields=limits.images) as form:
                found = [one for _, one in form.multi_items() if isinstance(one, UploadFile)]
                named = [(_name_of(one), await one.read()) for one in found]
        except (UnicodeError, LookupError) as error:  # the client chooses the charset of its names
            raise HTTPException(400, "the names in the form are not in the charset that it says") from error
    elif kind.startswith("image/") or kind == "application/octet-stream":
        named = [("image", await request.body())]
    else:
        raise HTTPException(415, "send the files of a form (multipart/form-data), or one picture (image/...)")
    if not named:
        raise HTTPException(422, "the form has no files")
    return named


def _name_of(upload: UploadFile) -> str:
    """A file's name as text that can be sent back: a charset may give halves of characters."""
    return (upload.filename or "image")[:_MAX_NAME].encode("utf-8", "replace").decode("utf-8")


def _page(name: str, kind: str) -> Any:
    text = files("mocoop.serving").joinpath("pages").joinpath(name).read_text(encoding="utf-8")

    async def page() -> Response:
        return Response(text, media_type=kind)

    return page


async def _as_json(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=dict(error.headers or {}))


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"])
    return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)


async def _failed(_request: Request, error: Exception) -> Response:
    """The model itself could not answer."""
    return JSONResponse({"error": str(error)}, 500)


async def _gone(_request: Request, _error: Exception) -> Response:
    """The client went before its request was complete; nobody reads this."""
    return Response(status_code=400)
