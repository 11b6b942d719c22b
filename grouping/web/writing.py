"""New templates for a group by a language model that the person set up; nothing is sent before it is asked for.

The question is that of `mocoop-groups generate --backend llm` for one group, with the same checks and the same cache.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from mocoop.groupfile.templatetext import folded
from mocoop.grouping.editing.lookup import group_of
from mocoop.grouping.keep import texts_of
from mocoop.grouping.llm.answers import read_templates
from mocoop.grouping.llm.generate import SAMPLE
from mocoop.grouping.llm.prompts import Context, templates_prompt
from mocoop.grouping.llm.session import Session as Model
from mocoop.grouping.web.session import Session

ASKED = 12  # templates of one question


class Writing:
    """A language model at hand for one session."""

    def __init__(self, session: Session, model: Model) -> None:
        self._session, self._model = session, model
        self._lock = threading.Lock()  # one question at a time

    @property
    def name(self) -> str:
        """Which model, and where it is."""
        return f"{self._model.settings.model} at {self._model.settings.host}"

    def more(self, group_id: str) -> list[dict[str, Any]]:
        """Templates for a group: none that is in the file, or was taken out. Raises UsageError, RemoteError."""
        document = self._session.document
        group = group_of(document, group_id)
        titles = [one.get("title") or one["id"] for one in document["groups"] if one is not group]
        names = tuple(self._session.names or ())
        prompt = templates_prompt(
            Context(document["domain"], document.get("class_kind", "object"), names[:SAMPLE]),
            group.get("title") or group_id,
            group.get("description", ""),
            group.get("rationale", ""),
            ASKED,
            titles,
        )
        with self._lock:
            answer = self._model.ask(prompt, partial(read_templates, count=ASKED, class_names=names))
        known = {folded(text) for one in document["groups"] for text in texts_of(one)}
        known |= {folded(entry["text"]) for entry in document.get("excluded", [])}
        return [{"text": text, "aspect": self.name} for text in answer.value.texts if folded(text) not in known]
