"""The ways to write a reply: as text, or as lines of JSON; Markdown has a file of its own."""

import json
from collections.abc import Callable, Mapping

from raptchat.errors import RaptchatError, SignalledError
from raptchat.records import DoneChunk
from raptchat.render import Terminal
from raptchat.render.errors import as_fields

Describe = Callable[[DoneChunk], Mapping[str, object]]


class Writer:
    """One way to show a reply; this one shows nothing. Either `end` or `fail` is called, once, last."""

    def text(self, text: str) -> None:
        """Take the next piece of the reply; it may be empty."""

    def remainder(self, text: str) -> None:
        """Take all that there still is of the reply; it may be empty."""
        self.text(text)

    def done(self, last: DoneChunk) -> None:
        """Take what the reply took."""

    def end(self) -> None:
        """Finish the reply."""

    def fail(self, raised: BaseException) -> None:  # noqa: ARG002 - only lines of JSON say what it was
        """Finish what arrived before *raised*."""
        self.end()


class TextWriter(Writer):
    """The text itself, each piece after *clean*; a last line without a newline gets one if *ends_line*."""

    def __init__(self, terminal: Terminal, clean: Callable[[str], str], *, ends_line: bool = True) -> None:
        self._terminal = terminal
        self._clean = clean
        self._ends_line = ends_line
        self._last = "\n"

    def text(self, text: str) -> None:
        """Write it at once."""
        # Nothing that can be printed is cleaned away, and most pieces hold nothing else.
        if text := text if text.isprintable() else self._clean(text):
            self._terminal.write(text)
            self._last = text[-1]

    def remainder(self, text: str) -> None:
        """Write it with the newline that may be missing, at once: another process may write to the same pipe."""
        self.text(f"{text}\n" if text and self._ends_line and not text.endswith("\n") else text)

    def end(self) -> None:
        """Write the newline that may be missing."""
        if self._ends_line and self._last != "\n":
            self._terminal.write("\n")


class JsonLinesWriter(Writer):
    """A JSON object a line, an event an object; in ASCII, so that no character of the reply acts on anything."""

    def __init__(self, terminal: Terminal, done: Describe | None) -> None:
        self._terminal = terminal
        self._done = done
        self._begun = False

    def text(self, text: str) -> None:
        """Write a `content` event."""
        if text:
            self._event("content", {"text": text})

    def reasoning(self, text: str) -> None:
        """Write a `reasoning` event, for a piece of what the model thinks."""
        self._event("reasoning", {"text": text})

    def done(self, last: DoneChunk) -> None:
        """Write the `done` event."""
        self._event("done", self._done(last) if self._done else {})

    def fail(self, raised: BaseException) -> None:
        """Write the `error` event; before any other event standard output stays empty instead."""
        if not self._begun:
            return
        if not isinstance(raised, Exception):  # a signal
            raised = SignalledError()
        elif not isinstance(raised, RaptchatError):
            raised = RaptchatError("internal error")
        self._event("error", as_fields(raised))

    def _event(self, kind: str, fields: Mapping[str, object]) -> None:
        self._terminal.write(json.dumps({"type": kind, **fields}, default=str) + "\n")
        self._begun = True
