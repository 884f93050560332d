"""The fields of a JSON object that comes from outside: each of the type that it must have, and none besides."""

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import NoReturn, TypeVar

from raptchat.errors import UsageError
from raptchat.outside import is_utf8, safe_line, without_keys

Word = TypeVar("Word", bound=str)

_AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,6})(?:\.[0-9]{0,8}[1-9])?")
_MOST_DOLLARS = 1_000_000
# What `clock.utc_now` writes; of the same form, since times are compared as texts.
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def refused(path: str, why: str) -> NoReturn:
    """Raise the `UsageError` about what stands at *path*; *why* goes on from there."""
    # A key may stand where something else should, and be quoted for that.
    raise UsageError(without_keys(f"this is no bundle that can be imported: `{path}` {why}"))


class Fields:
    """One object at *path* of a document; what is taken of it is ticked off, and `end` sees that nothing is left.

    Every method raises the `UsageError` of `refused` for a field that is not there or is not what it must be.
    """

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            refused(path or "document", "is not an object")
        self.path = path
        self._left: dict[str, object] = dict(value)

    def has(self, name: str) -> bool:
        """Whether there is a field that need not be there, and was not taken yet."""
        return name in self._left

    def at(self, name: str) -> str:
        """The path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def end(self) -> None:
        """See that every field was taken: one that is not known may be one that matters."""
        if self._left:
            refused(self.at(safe_line(next(iter(self._left)))[:40]), "is not known")

    def rest(self) -> dict[str, object]:
        """All fields that were not taken yet, by their names."""
        left, self._left = self._left, {}
        return left

    def nested(self, name: str) -> "Fields":
        """An object."""
        return Fields(self._take(name), self.at(name))

    def all_nested(self, name: str) -> Iterator["Fields"]:
        """An array of objects."""
        value = self._take(name)
        if not isinstance(value, list):
            refused(self.at(name), "is not an array")
        return (Fields(one, f"{self.at(name)}[{number}]") for number, one in enumerate(value))

    def text(self, name: str) -> str:
        """A text that can be stored."""
        value = self._take(name)
        if not isinstance(value, str):
            refused(self.at(name), "is not a text")
        if not is_utf8(value):
            refused(self.at(name), "cannot be written in UTF-8")
        return value

    def optional_text(self, name: str) -> str | None:
        """A text, or `null`."""
        return None if self._is_null(name) else self.text(name)

    def checked(self, name: str, check: Callable[[str], str]) -> str:
        """What *check* makes of a text; its error, which does not repeat the text, is told with the path.

        A text that *check* would change was not written by raptchat.
        """
        text = self.text(name)
        try:
            found = check(text)
        except (UsageError, ValueError) as error:
            refused(self.at(name), f"cannot be what it is: {error}")
        if found != text:
            refused(self.at(name), "is not in its one spelling")
        return text

    def optional(self, name: str, check: Callable[[str], str]) -> str | None:
        """As `checked`, or `null`."""
        return None if self._is_null(name) else self.checked(name, check)

    def one_of(self, name: str, *words: Word) -> Word:
        """One of these *words*."""
        text = self.text(name)
        for word in words:
            if text == word:
                return word
        return refused(self.at(name), f"is none of {', '.join(words)}")

    def uuid(self, name: str) -> str:
        """An id as the store makes them (RFC 9562), in small letters."""
        text = self.text(name)
        try:
            if str(uuid.UUID(text)) == text:
                return text
        except ValueError:
            pass
        return refused(self.at(name), "is no id")

    def time(self, name: str) -> str:
        """A time of `clock.utc_now`."""
        text = self.text(name)
        try:
            if _TIME.fullmatch(text):
                datetime.fromisoformat(text)  # there is no 30th of February
                return text
        except ValueError:
            pass
        return refused(self.at(name), "is no time such as 2026-11-22T09:30:00.000000Z")

    def optional_time(self, name: str) -> str | None:
        """A time, or `null`."""
        return None if self._is_null(name) else self.time(name)

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self._take(name)
        if not isinstance(value, bool):
            refused(self.at(name), "is neither true nor false")
        return value

    def amount(self, name: str) -> Decimal:
        """A sum of US dollars in its one spelling, a million at most."""
        text = self.text(name)
        if not _AMOUNT.fullmatch(text) or Decimal(text) > _MOST_DOLLARS:
            refused(self.at(name), "is no amount such as 0.5")
        return Decimal(text)

    def optional_amount(self, name: str) -> Decimal | None:
        """An amount, or `null`."""
        return None if self._is_null(name) else self.amount(name)

    def number(self, name: str) -> int:
        """A whole number."""
        value = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool):
            refused(self.at(name), "is no whole number")
        return value

    def _is_null(self, name: str) -> bool:
        if name in self._left and self._left[name] is None:
            del self._left[name]
            return True
        return False

    def _take(self, name: str) -> object:
        if name not in self._left:
            refused(self.at(name), "is not there")
        return self._left.pop(name)
