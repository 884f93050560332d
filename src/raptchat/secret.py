"""A value that is shown nowhere: it comes out of `reveal` only."""

from typing import NoReturn


class Secret:
    """A text that must not be seen; printing, formatting, pickling and JSON show nothing of it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself: for the request's header, for sealing, and for nothing else."""
        return self._value

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
