"""A text from the gateway, made fit to be shown: names, error texts, titles."""

from raptchat.outside import safe_line, shortened, without_keys
from raptchat.secret import Secret, without_secrets

_MAX_TEXT = 300
_MARGIN = 4096


class Cleaner:
    """Makes a text from the gateway fit to be shown: one safe line, short, without the key."""

    def __init__(self, key: Secret) -> None:
        self.key = key

    def __call__(self, text: object, limit: int = _MAX_TEXT) -> str:
        """*text*, cut to *limit* characters; nothing when it is no text."""
        if not isinstance(text, str):
            return ""
        # The key first: it can be of any form, and a cut must not leave half of it. What is cut before it is more
        # than will be shown: a text can be as large as an event.
        text = self.key.cut_out(text[: limit + _MARGIN])
        return shortened(safe_line(without_keys(without_secrets(text)).strip()), limit)

    def names(self, values: object) -> str:
        """A list of texts as `a, b, c`, ten at most."""
        if not isinstance(values, list):
            return ""
        return ", ".join(filter(None, (self(value, 100) for value in values[:10])))
