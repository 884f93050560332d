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
        text, shown = self._without_key(self._yielded + self._held + piece), len(self._yielded)
        held_from = max(self._beginning_in(text), shown)
        self._held = text[held_from:]
        added = text[shown:held_from]
        self._yielded = (self._yielded + added)[1 - _BEGINNING :]
        return added

    def close(self) -> str:
        """What was held back, without what is more than the beginning of the key."""
        held, self._held = self._held, ""
        return self._key.cut_out(held) if len(held) >= _SHORTEST else held

    def _without_key(self, text: str) -> str:
        key = self._key.reveal()
        if len(key) < _SHORTEST or key not in text:
            return text
        # Some of it may have been yielded.
        before, _, rest = text.partition(key)
        shown = self._yielded[len(before) :] if len(before) < len(self._yielded) else ""
        return f"{before}{shown}***{rest.replace(key, '***')}"

    def _beginning_in(self, text: str) -> int:
        """Where the end of *text* begins that may be the beginning of the key; the end, where there is none."""
        key = self._key.reveal()
        if len(key) < _SHORTEST:
            return len(text)
        at = text.find(key[0], max(0, len(text) - len(key) + 1))
        while at >= 0 and not (len(text) - at >= _BEGINNING and key.startswith(text[at:])):
            at = text.find(key[0], at + 1)
        return len(text) if at < 0 else at
