"""A value that is shown nowhere: it comes out of `reveal` only."""

from typing import NoReturn
from weakref import WeakValueDictionary

# More than a hint shows of a key. A shorter part may be a word that happens to be the same.
_SHORTEST_PART = 12


class Secret:
    """A text that must not be seen; printing, formatting, pickling and JSON show nothing of it."""

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        _LIVING[id(self)] = self

    def reveal(self) -> str:
        """The text itself: for the request's header, for sealing, and for nothing else."""
        return self._value

    def cut_out(self, text: str) -> str:
        """*text* with `***` for this secret, and for each part of it of 12 characters or more, in any case.

        Whoever knows a secret can write it in endless other ways; those are not recognised.
        """
        size, lower = min(len(self._value), _SHORTEST_PART), _lower(self._value)
        parts = {lower[at : at + size] for at in range(len(lower) - size + 1)} - {""}
        searched = _lower(text)
        if not any(part in searched for part in parts):
            return text  # nearly always, and ten times as fast as to look at each character
        kept, at = [], 0
        while at < len(text):
            end = at + size
            if searched[at:end] not in parts:
                kept.append(text[at])
                at += 1
                continue
            while searched[end - size + 1 : end + 1] in parts:
                end += 1
            kept.append("***")
            at = end
        return "".join(kept)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __deepcopy__(self, memo: object) -> "Secret":
        # dataclasses.asdict copies what it does not know.
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


# By `id`: of two that are equal each counts, and lets go by itself.
_LIVING: WeakValueDictionary[int, Secret] = WeakValueDictionary()


def without_secrets(text: str) -> str:
    """*text* without any secret of 12 characters or more that this process holds now."""
    for reference in _LIVING.valuerefs():
        secret = reference()
        if secret is not None and len(secret.reveal()) >= _SHORTEST_PART:
            text = secret.cut_out(text)
    return text


def _lower(text: str) -> str:
    """*text* with ASCII's capitals as small letters: `str.lower` can make it longer."""
    return text.translate(_SMALL_LETTERS)


_SMALL_LETTERS = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
