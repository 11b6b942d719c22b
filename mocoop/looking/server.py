"""The page served to one person: its content, copies of its pictures by number, and labels that it corrects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mocoop.cli import printable
from mocoop.errors import DataError
from mocoop.looking.corrections import Corrections
from mocoop.looking.pictures import Album
from mocoop.web.gate import App, Bounds
from mocoop.web.page import body_of, make_page

BOUNDS = Bounds(body_bytes=10_000)  # nothing longer than a correction is sent


def make_app(
    content: Mapping[str, Any],
    paths: Sequence[Path | None],
    album: Album,
    corrections: Corrections | None,
    *,
    secret: str,
    names: Sequence[str] = (),
) -> App:
    """The page below `secret`, served under `names`.

    `content` is `page_content`'s; `paths` are its images in order, those of `album`.
    """

    def corrected() -> dict[str, Any] | None:
        """What the page knows of corrections: the classes to choose from, which of the answers' classes each is, and
        the choice for each image that was corrected."""
        if corrections is None:
            return None
        choices, answers = [printable(name) for name in corrections.classnames], list(content["classes"])
        first = 0 if choices[: len(answers)] == answers else len(choices) - len(answers)  # the base classes, or the new
        places = [k - first if 0 <= k - first < len(answers) else None for k in range(len(choices))]
        labels = corrections.labels()
        found = {number: labels[path] for number, path in enumerate(paths) if path is not None and path in labels}
        return {
            "choices": choices,
            "classes": places,
            "labels": found,
            "file": printable(corrections.path.name),
            "table": printable(corrections.table.name),
            "links": " --follow-links" if corrections.through_link else "",
        }

    def data(_request: Request) -> Response:
        try:
            told = {**content, "corrections": corrected()}
        except DataError as error:  # somebody changed the table by hand; the images can be looked at all the same
            note = printable(f"labels cannot be corrected: {error}")
            told = {**content, "corrections": None, "notes": [*content["notes"], note]}
        return JSONResponse(told)

    def labels(_request: Request) -> Response:
        return JSONResponse(corrected())

    def picture(request: Request) -> Response:
        copy = album.copy(request.path_params["number"], request.path_params["size"])
        if copy is None:
            raise HTTPException(404, "there is no such picture")
        return Response(copy, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    async def label(request: Request) -> Response:
        body = await body_of(request)
        number, new = body.get("image"), body.get("label")
        if corrections is None:
            raise HTTPException(409, "labels cannot be corrected here")
        if type(number) is not int or type(new) is not int or not 0 <= number < len(paths):
            raise HTTPException(400, 'send {"image": NUMBER, "label": NUMBER}')
        path = paths[number]
        if path is None:
            raise HTTPException(404, "there is no such picture")
        await run_in_threadpool(corrections.correct, path, new)
        return JSONResponse(await run_in_threadpool(corrected))

    routes = [
        Route("/api/data", data),
        Route("/api/labels", labels),
        Route("/api/picture/{number:int}/{size}", picture),
        Route("/api/label", label, methods=["POST"]),
    ]
    return make_page("mocoop.looking", routes, secret=secret, bounds=BOUNDS, names=names)
