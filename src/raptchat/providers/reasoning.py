"""What a model thought, as the blocks that the gateway wants back (OpenRouter, "Reasoning Tokens").

A block arrives in fragments of the same `index` and `type`. They are put together here: sent back as they came,
the next request fails, since the signature of a block stands in a fragment of its own.
"""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_JOINED = ("text", "summary", "data")
_LAST_HOLDS = ("signature", "id", "format")


class ReasoningDetails:
    """The blocks of one reply, in the order of their beginnings; what is not understood stays as it came."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._open: dict[tuple[object, object], _Block] = {}

    def add(self, fragments: object) -> str:
        """Take the `reasoning_details` of one chunk; returns what of it a person can read."""
        readable = ""
        for fragment in fragments if isinstance(fragments, list) else ():
            if not isinstance(fragment, dict):
                continue
            for name in ("text", "summary"):
                readable += fragment[name] if isinstance(fragment.get(name), str) else ""
            kind, index = fragment.get("type"), fragment.get("index")
            if not isinstance(kind, str) or not isinstance(index, int):
                self._blocks.append(_Block(fragment))
            elif (block := self._open.get((index, kind))) is not None:
                block.add(fragment)
            else:
                block = self._open[index, kind] = _Block(fragment)
                self._blocks.append(block)
        return readable

    def as_json(self) -> str | None:
        """The blocks as a JSON list; `None` when there are none."""
        if not self._blocks:
            return None
        # Fractions were read as decimals, for the sake of money; here JSON's own numbers do.
        return json.dumps([block.whole() for block in self._blocks], default=_number, separators=(",", ":"))


def _number(value: Decimal) -> float | None:
    number = float(value)
    # JSON has no infinity: a request that holds one cannot be made.
    return number if math.isfinite(number) else None


class _Block:
    def __init__(self, fragment: Mapping[str, Any]) -> None:
        self._fields = dict(fragment)
        self._pieces = {name: [fragment[name]] for name in _JOINED if isinstance(fragment.get(name), str)}

    def add(self, fragment: Mapping[str, Any]) -> None:
        for name, value in fragment.items():
            if name in _JOINED and isinstance(value, str):
                self._pieces.setdefault(name, []).append(value)
            elif self._fields.get(name) is None or (name in _LAST_HOLDS and value is not None):
                self._fields[name] = value

    def whole(self) -> dict[str, Any]:
        return {**self._fields, **{name: "".join(pieces) for name, pieces in self._pieces.items()}}
