"""The key taken out of a reply: a gateway that says it back must not have it printed, or stored in plain text."""

from raptchat.secret import Secret

# A text that ends as the key begins waits for what comes next; with fewer characters, at every other word.
_BEGINNING = 4
# A shorter key may be a word.
_SHORTEST = 12


class Hiding:
    """A text that comes in pieces, with `***` for each time that the whole of *key* stands in it.

    Where a piece ended within the first three characters of the key, those were yielded and stay. A key that is
    encoded, or said only in part, is not recognised.
    """

    def __init__(self, key: Secret) -> None:
        self._key = key
        self._yielded = self._held = ""

    def add(self, piece: str) -> str:
        """What *piece* adds to the text; what may be the beginning of the key is held back."""
        key = self._key.reveal()
        if len(key) < _SHORTEST:
            return piece
        text, shown = self._yielded + self._held + piece, len(self._yielded)
        if key[:_BEGINNING] not in text:
            self._held, self._yielded = "", text[1 - _BEGINNING :]
            return text[shown:]
        if key in text:
            text = self._without(key, text)
        held_from = max(_beginning_of(key, text), shown)
        self._held = text[held_from:]
        self._yielded = text[max(0, held_from - _BEGINNING + 1) : held_from]
        return text[shown:held_from]

    def close(self) -> str:
        """What was held back, without what is more than the beginning of the key."""
        held, self._held = self._held, ""
        return self._key.cut_out(held) if len(held) >= _SHORTEST else held

    def _without(self, key: str, text: str) -> str:
        # Some of it may have been yielded.
        before, _, rest = text.partition(key)
        shown = self._yielded[len(before) :] if len(before) < len(self._yielded) else ""
        return f"{before}{shown}***{rest.replace(key, '***')}"


def _beginning_of(key: str, text: str) -> int:
    """Where the end of *text* begins that may be the beginning of *key*; the end, where there is none."""
    beginning = key[:_BEGINNING]
    at = text.find(beginning, max(0, len(text) - len(key) + 1))
    while at >= 0 and not key.startswith(text[at:]):
        at = text.find(beginning, at + 1)
    return len(text) if at < 0 else at
