"""A row of the store as a record, once each value is seen to be of its column's type."""

from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from raptchat.errors import StoreError

T = TypeVar("T")


def record(kind: type[T], row: Mapping[str, Any]) -> T:
    """*row* as a *kind*; `StoreError` when a value is of another type than its field.

    STRICT tables see to it on writing. A bit that flipped in the file turns a text into bytes all the same.
    """
    types = _types(cast("Any", kind))  # mypy takes no type[T] for something that can be hashed
    for name, value in row.items():
        if not isinstance(value, types[name]):
            raise StoreError(f"the store is damaged: `{name}` of a {kind.__name__.lower()} is of another type")
    return kind(**row)


@cache
def _types(kind: type) -> dict[str, tuple[type, ...]]:
    return {name: _classes(hint) for name, hint in get_type_hints(kind).items()}


def _classes(hint: Any) -> tuple[type, ...]:
    origin = get_origin(hint)
    if origin is Literal:
        return tuple({type(value) for value in get_args(hint)})
    if origin in {Union, UnionType}:
        return tuple(one for part in get_args(hint) for one in _classes(part))
    return (NoneType if hint is None else origin or hint,)
