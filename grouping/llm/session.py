"""Getting usable answers from a language model: cached answers first, one repair, and a token budget.

`Session.ask` returns an answer that passed the caller's check, or raises. An unusable answer is requested once more,
with a list of its problems; if that fails too, the raw reply is saved to a file. Every valid answer is cached, so that
a failed command can resume where it stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from mocoop import files
from mocoop.errors import RemoteError, StorageError
from mocoop.grouping.llm.cache import AnswerCache, Entry, key_of
from mocoop.grouping.llm.prompts import Prompt, repair_messages
from mocoop.grouping.llm.replies import Reply, UnusableReply, object_in
from mocoop.grouping.llm.retry import Client, Tell, Wait
from mocoop.grouping.llm.settings import Settings, warnings
from mocoop.grouping.llm.settings import key_of as key_for

MOST_PROBLEMS = 12  # problems listed in a repair request

Checked = TypeVar("Checked")
Check = Callable[[dict[str, Any]], Checked]


class OutOfRules(Exception):
    """An answer that breaks the rules of its prompt; `problems` says how, worded for the model."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Answer(Generic[Checked]):
    """A checked answer, and the entry and the prompt it came from."""

    value: Checked
    entry: Entry
    prompt: Prompt

    @property
    def facts(self) -> dict[str, str]:
        """The provenance of this one call."""
        return {
            "prompt_id": self.prompt.id,
            "prompt_sha256": self.prompt.sha256,
            "response_sha256": self.entry.sha256,
        }


class Session:
    """Questions to one model on behalf of one command.

    `rejected` is the file for a reply that is unusable even after a repair. `tell` receives notices; `wait` waits.
    `instead` is an alternative that the hint of an error offers besides fixing the failure.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        seed: int | None,
        offline: bool,
        cache: bool,
        refresh: bool,
        rejected: Path,
        tell: Tell,
        wait: Wait,
        instead: str | None = None,
    ) -> None:
        self.settings, self.seed = settings, seed
        self.offline, self._refresh = offline, refresh
        self._cache = AnswerCache() if cache else None
        self._rejected, self._tell, self._wait, self._instead = rejected, tell, wait, instead
        self._client: Client | None = None
        self._spent = 0
        self.kept = 0  # answers taken from the cache

    def ask(self, prompt: Prompt, check: Check[Checked]) -> Answer[Checked]:
        """Return a checked answer. `check` raises OutOfRules for an invalid one. Raises RemoteError."""
        found = self.known(prompt, check)
        if found is not None:
            self.kept += 1
            return found
        try:
            answer = self._asked(prompt, check)
        except RemoteError as error:
            failed = error
        else:
            self._progress(prompt)
            return answer
        offered = [hint for hint in (failed.hint, self._instead) if hint]
        raise RemoteError(failed.message, "; or ".join(offered) or None)

    def known(self, prompt: Prompt, check: Check[Checked]) -> Answer[Checked] | None:
        """A cached answer that passes the check, or None; nothing is sent."""
        if self._cache is None or (self._refresh and not self.offline):
            return None
        entry = self._cache.read(key_of(prompt, self.settings, self.seed))
        if entry is None:
            return None
        try:
            return Answer(check(entry.answer), entry, prompt)
        except OutOfRules:
            return None

    def told(self, answers: Sequence[Answer[Any]]) -> str:
        """One line with the number of answers and the tokens used."""
        tokens_in = sum(answer.entry.tokens_in or 0 for answer in answers)
        tokens_out = sum(answer.entry.tokens_out or 0 for answer in answers)
        kept = f", {self.kept} of them kept from before" if self.kept else ""
        number = f"{len(answers)} answer{'s' if len(answers) != 1 else ''}"
        who = f"{self.settings.model} at {self.settings.host}"
        return f"{who}: {number}{kept}; tokens {tokens_in:,} in, {tokens_out:,} out"

    def facts(self, answers: Sequence[Answer[Any]]) -> dict[str, Any]:
        """The provenance of all calls together; nothing in it depends on the cache or the answer format."""
        served = sorted({answer.entry.model_served for answer in answers if answer.entry.model_served})
        return {
            "backend": "llm",
            "model_requested": self.settings.model,
            "model_served": ", ".join(served)[:200] or None,
            "base_url_host": self.settings.host,
            "seed": next((a.entry.seed for a in answers), None),
            "temperature": next((a.entry.temperature for a in answers), None),
        }

    def _asked(self, prompt: Prompt, check: Check[Checked]) -> Answer[Checked]:
        if self.offline:
            hint = "run it once without --offline, with the same options"
            raise RemoteError(f"offline, and no answer of {self.settings.model} is kept for {prompt.title}", hint)
        reply, answer, value = self._answer(prompt, check)
        entry = Entry(answer, reply.model, reply.tokens_in, reply.tokens_out, **reply.sent)
        self._keep(key_of(prompt, self.settings, self.seed), entry, prompt)
        return Answer(value, entry, prompt)

    def _answer(self, prompt: Prompt, check: Check[Checked]) -> tuple[Reply, dict[str, Any], Checked]:
        try:
            return self._once(prompt, prompt.messages, check)
        except UnusableReply as unusable:
            bad = unusable
        self._tell(f"{prompt.title}: {bad.message}; asking once more")
        again = prompt.fewer() if bad.cut and prompt.fewer else prompt
        try:
            return self._once(again, repair_messages(again, bad.problems[:MOST_PROBLEMS]), check)
        except UnusableReply as worse:
            message, raw = f"{prompt.title}: {worse.message}, twice", worse.raw
            hint = f"{worse.hint or 'try another --model'}; finished answers are kept"
        except RemoteError as failed:
            message, raw, hint = failed.message, bad.raw, failed.hint or ""
        raise RemoteError(message, f"{self._keep_aside(raw)}; {hint}")

    def _once(
        self, prompt: Prompt, messages: Sequence[Mapping[str, str]], check: Check[Checked]
    ) -> tuple[Reply, dict[str, Any], Checked]:
        left, most = self.settings.max_tokens - self._spent, self.settings.answer_tokens(prompt.most_tokens)
        if left < most:
            hint = "give more with --max-tokens; finished answers are kept, the same command goes on from there"
            told = f"{self._spent:,} of {self.settings.max_tokens:,} output tokens are used"
            raise RemoteError(f"{prompt.title} may take {most:,} output tokens, and {told}", hint)
        client = self._connected()
        try:
            reply = client.chat(messages, prompt.schema, prompt.name, most)
        except UnusableReply as bad:
            self._spent += most if bad.cut else 0
            raise
        self._spent += reply.tokens_out if reply.tokens_out is not None else len(reply.text) // 3
        answer = object_in(reply.text, reply.raw, prompt.schema)
        try:
            return reply, answer, check(answer)
        except OutOfRules as broken:
            message = f"the answer does not keep the rules ({broken.problems[0]})"
            problems = broken.problems
        raise UnusableReply(message, reply.raw, problems)

    def _connected(self) -> Client:
        if self._client is None:
            key = key_for(self.settings)
            for warning in warnings(self.settings, key):
                self._tell(warning)
            self._client = Client(self.settings, key, seed=self.seed, wait=self._wait, tell=self._tell)
        return self._client

    def _keep(self, key: str, entry: Entry, prompt: Prompt) -> None:
        if self._cache is None:
            return
        about = {"prompt": prompt.id, "title": prompt.title, "model": self.settings.model, "host": self.settings.host}
        try:
            self._cache.write(key, entry, about)
        except StorageError as error:
            self._cache = None
            self._tell(f"answers cannot be kept: {error}; set MOCOOP_CACHE to a folder that can be written")

    def _keep_aside(self, raw: str) -> str:
        try:
            files.atomic_write(self._rejected, raw)
        except StorageError as error:
            return f"the reply could not be kept: {error.message}"
        return f"the reply is in {self._rejected}"

    def _progress(self, prompt: Prompt) -> None:
        if sys.stderr is not None and sys.stderr.isatty():
            self._tell(f"{prompt.title}: done")
