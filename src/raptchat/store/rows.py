"""A row of the store as a record, once each value is seen to be one that its field can have."""

from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from raptchat.errors import StoreError

T = TypeVar("T")


def record(kind: type[T], row: Mapping[str, Any]) -> T:
    """*row* as a *kind*; `StoreError` when a value is none that its field can have.

    STRICT tables and CHECKs see to it on writing. A bit that flipped in the file turns a text into bytes all the
    same, and whoever changes the file need not keep to them.
    """
    fields = _fields(cast("Any", kind))  # mypy takes no type[T] for something that can be hashed
    for name, value in row.items():
        types, words = fields[name]
        if not isinstance(value, types) or (words and value not in words):
            raise StoreError(f"the store is damaged: `{name}` of a {kind.__name__.lower()} cannot be what it is")
    return kind(**row)


def as_asked(found: T, **asked: object) -> T:
    """*found*, which must have the values that it was asked for by; `StoreError` when the store answers otherwise.

    Whoever changes the file can make a table a view, or an index point to another row: then one value is
    compared and another one read.
    """
    for name, value in asked.items():
        if getattr(found, name) != value:
            raise StoreError(
                f"the store is damaged: it finds a {type(found).__name__.lower()} under another's `{name}`",
                hint="restore a backup",
            )
    return found


@cache
def _fields(kind: type) -> dict[str, tuple[tuple[type, ...], tuple[object, ...]]]:
    hints = get_type_hints(kind).items()
    return {name: (_classes(hint), get_args(hint) if get_origin(hint) is Literal else ()) for name, hint in hints}


def _classes(hint: Any) -> tuple[type, ...]:
    origin = get_origin(hint)
    if origin is Literal:
        return tuple({type(value) for value in get_args(hint)})
    if origin in {Union, UnionType}:
        return tuple(one for part in get_args(hint) for one in _classes(part))
    return (NoneType if hint is None else origin or hint,)
