"""The addresses of the review page's data, relative to the page. What may not be done is an answer, not a failure.

Every answer to an operation has what changed since the version that the page knew, so the page draws what the server
holds and nothing else. `api/news` waits a moment for something new, so that each tab sees what the others do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mocoop.errors import MoCoOpError, UsageError
from mocoop.groupfile.groups import check, dump_groups
from mocoop.groupfile.templatetext import SLOT, folded
from mocoop.grouping.editing.drafts import Line, drop_line, keep_line
from mocoop.grouping.editing.edit import LockedError
from mocoop.grouping.editing.lookup import group_of
from mocoop.grouping.keep import texts_of
from mocoop.grouping.web import view
from mocoop.grouping.web.alike import Alike
from mocoop.grouping.web.checking import Checking
from mocoop.grouping.web.session import Session, news_of
from mocoop.web.page import body_of

if TYPE_CHECKING:
    from mocoop.grouping.clustering.embed import EmbedderChoice
    from mocoop.grouping.web.attraction import Attraction
    from mocoop.grouping.web.writing import Writing

WAIT = 1.0  # seconds that `api/news` waits for news; also how long Ctrl-C may have to
_LOOK = 0.02  # seconds between two looks for news in memory
MOST_TYPED = 2000  # characters of what is being typed

Body = dict[str, Any]


class Desk:
    """What the addresses of one page share."""

    def __init__(
        self,
        session: Session,
        checking: Checking,
        choice: EmbedderChoice | None,
        line: Line | None = None,
        attraction: Attraction | None = None,
        writing: Writing | None = None,
    ) -> None:
        """`line` is what stood half typed when an earlier page ended; `writing` a language model, if one is set up."""
        self.session, self.checking, self.choice = session, checking, choice
        self.alike = Alike(session, checking, choice)
        self.attraction, self.writing = attraction, writing
        self.line = line

    def routes(self) -> Sequence[BaseRoute]:
        """All addresses."""
        return [
            Route("/api/state", self.state),
            Route("/api/news", self.news),
            Route("/api/do", self.do, methods=["POST"]),
            Route("/api/undo", self.undo, methods=["POST"]),
            Route("/api/redo", self.redo, methods=["POST"]),
            Route("/api/settle", self.settle, methods=["POST"]),
            Route("/api/save", self.save, methods=["POST"]),
            Route("/api/difference", self.difference),
            Route("/api/check", self.check, methods=["POST"]),
            Route("/api/typing", self.typing, methods=["POST"]),
            Route("/api/near", self.near, methods=["POST"]),
            Route("/api/more", self.more, methods=["POST"]),
            Route("/api/write", self.write, methods=["POST"]),
            Route("/api/parts", self.parts, methods=["POST"]),
            Route("/api/images", self.images),
            Route("/api/image/{number:int}", self.image),
        ]

    # ---- what there is

    async def state(self, _request: Request) -> Response:
        """All of it."""
        return JSONResponse(self._told({}))

    async def news(self, request: Request) -> Response:
        """What is newer than what the page knows; waits for it a moment."""
        known = {name: _number(request, name) for name in ("version", "findings", "map", "images")}
        waited = 0.0
        self.session.look()
        while waited < WAIT and not self._is_newer(known):
            await asyncio.sleep(_LOOK)
            waited += _LOOK
        return JSONResponse(self._told(known))

    def _is_newer(self, known: Body) -> bool:
        images = self.attraction.number if self.attraction else 0
        now = (self.session.version, self.checking.found.number, images)
        return now != (known["version"], known["findings"], known["images"])

    def _told(self, known: Body) -> Body:
        """What a page that knows a version needs in order to know the current one."""
        session, found = self.session, self.checking.found
        with session.lock:
            told: Body = {"version": session.version, "file": session.path, **news_of(session)}
            before = session.since(known["version"]) if known.get("version") else None
            if before is None:
                told |= {**view.whole(session.document), "model": self.writing and self.writing.name}
            elif before is not session.document:
                told |= view.delta(before, session.document)
        if found.number != known.get("findings"):
            told["findings"] = found.as_dict(known.get("map", 0))
        if self.attraction and self.attraction.number != known.get("images"):
            told["images"] = self.attraction.as_dict()
        if not known.get("version") and self.line:
            told["line"] = {"about": self.line.about, "prompt": self.line.prompt, "typed": self.line.typed}
        return told

    # ---- what is done

    async def do(self, request: Request) -> Response:
        """One operation."""
        body = await body_of(request)
        operation = body.get("operation")
        if not isinstance(operation, dict) or "document" in operation:
            raise HTTPException(400, "send an operation")
        return self._answered(body, lambda version: self.session.do(operation, version))

    async def undo(self, request: Request) -> Response:
        """The last operation is taken back."""
        return self._answered(await body_of(request), self.session.undo)

    async def redo(self, request: Request) -> Response:
        """And done again."""
        return self._answered(await body_of(request), self.session.redo)

    async def settle(self, request: Request) -> Response:
        """The file on disk, the work, or both."""
        body = await body_of(request)
        choice = body.get("choice")
        if choice not in ("theirs", "mine", "both"):
            raise HTTPException(400, "choose theirs, mine or both")
        return self._answered(body, lambda version: self.session.settle(choice, version))

    async def save(self, request: Request) -> Response:
        """The file is written."""
        body = await body_of(request)
        notice: list[str] = []

        def saved(version: int) -> None:
            told = self.session.save(version).notice
            notice.extend([told] if told else [])

        answer = await run_in_threadpool(self._answer, body, saved)
        return JSONResponse({**answer, "notice": notice[0] if notice else None})

    def _answered(self, body: Body, act: Callable[[int], None]) -> Response:
        return JSONResponse(self._answer(body, act))

    def _answer(self, body: Body, act: Callable[[int], None]) -> Body:
        """What changed, or why nothing did; both with all that the page does not know yet."""
        known = {name: _whole(body.get(name)) for name in ("version", "findings", "map", "images")}
        try:
            act(known["version"])
        except MoCoOpError as error:
            return {**self._told(known), "refused": _refusal(error)}
        return self._told(known)

    async def difference(self, _request: Request) -> Response:
        """What a save would change, and what something else changed in the file, in words."""
        mine, theirs = self.session.changes(), self.session.changes_on_disk()
        return JSONResponse({
            "mine": [{"kind": one.kind, "sentence": one.sentence()} for one in mine],
            "theirs": [{"kind": one.kind, "sentence": one.sentence()} for one in theirs],
        })  # fmt: skip

    # ---- help while it is done

    async def check(self, request: Request) -> Response:
        """What the rules say of a text that is being typed, and its tokens."""
        body = await body_of(request)
        text, instead = _text(body, "text"), body.get("instead_of")
        document = self.session.document
        twin = next(
            (
                (group["id"], other)
                for group in document["groups"]
                for other in texts_of(group)
                if other != instead and folded(other) == folded(text)
            ),
            None,
        )
        groups = [{"id": "typed", "templates": [text]}]
        if twin is not None:
            groups.insert(0, {"id": twin[0], "templates": [twin[1]]})
        part = {key: value for key, value in document.items() if key in ("schema_version", "domain", "class_kind")}
        place = f"/groups/{len(groups) - 1}/templates/0"
        try:
            found = check(dump_groups({**part, "groups": groups}), class_names=self.session.names)
        except MoCoOpError as error:
            return JSONResponse(
                {"findings": [{"code": "G007", "severity": "error", "message": error.message, "hint": ""}]}
            )
        told = [one.as_dict() for one in found if one.pointer.startswith(place)]
        for one in told:  # where it stands in the part that was checked tells nobody anything
            one["message"] = str(one["message"]).replace(f"`groups[{len(groups) - 1}].templates[0]`", "the template")
        return JSONResponse({"findings": told, "tokens": view.token_count(text) if SLOT in text else None})

    async def typing(self, request: Request) -> Response:
        """Keep what is being typed, so that a crash does not lose it; nothing typed keeps nothing."""
        body = await body_of(request)
        line = Line(_text(body, "prompt"), _text(body, "about"), _text(body, "typed")[:MOST_TYPED])
        self.line = line if line.typed.strip() else None
        if self.line is None:
            drop_line(self.session.path)
        else:
            keep_line(self.session.path, line)
        return JSONResponse({})

    async def near(self, request: Request) -> Response:
        """What lies near a template."""
        text = _text(await body_of(request), "text")
        return await _helped(lambda: self.alike.near(text))

    async def more(self, request: Request) -> Response:
        """Templates of the bank like some."""
        body = await body_of(request)
        texts = body.get("texts")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise HTTPException(400, "send texts")
        return await _helped(lambda: {"templates": self.alike.more(texts)})

    async def write(self, request: Request) -> Response:
        """Templates for a group by the language model."""
        group_id, writing = _text(await body_of(request), "group"), self.writing
        if writing is None:
            raise HTTPException(404, "no language model is set up (--llm-config)")
        return await _helped(lambda: {"templates": writing.more(group_id)})

    async def parts(self, request: Request) -> Response:
        """A group in several parts by meaning, as a proposal."""
        body = await body_of(request)
        group_id, count = _text(body, "group"), _whole(body.get("count"))

        def parted() -> Body:
            from mocoop.grouping.clustering.parting import parts_by_meaning

            if self.choice is None:
                raise UsageError("meanings are not compared (--lexical)", "choose the templates of the new group")
            texts = texts_of(group_of(self.session.document, group_id))
            return {"parts": parts_by_meaning(texts, max(count, 2), self.choice)}

        return await _helped(parted)

    async def images(self, _request: Request) -> Response:
        """The images that the templates of each group fit best, by number."""
        return JSONResponse(self.attraction.as_dict() if self.attraction else {})

    async def image(self, request: Request) -> Response:
        """A small copy of one of them."""
        if self.attraction is None:
            raise HTTPException(404, "no images were given")
        data = await run_in_threadpool(self.attraction.small, request.path_params["number"])
        if data is None:
            raise HTTPException(404, "there is no such image")
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def _helped(find: Callable[[], Body]) -> Response:
    """An answer that may take a while, or why there is none."""
    try:
        return JSONResponse(await run_in_threadpool(find))
    except MoCoOpError as error:
        return JSONResponse({"refused": _refusal(error)})


def _refusal(error: MoCoOpError) -> Body:
    """Why something was not done, and what to do on the page, where nobody types commands."""
    hint = "Unlock it first." if isinstance(error, LockedError) else error.hint or ""
    return {"error": error.message, "hint": hint}


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise HTTPException(400, f"send a text as {name}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise HTTPException(400, f"half a character stands in {name}") from None
    return value


def _number(request: Request, name: str) -> int:
    given = request.query_params.get(name, "0")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 18 else 0


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
