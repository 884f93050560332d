"""The fields of a chat request that `-o KEY VALUE` may set: what each may hold, and how they come together.

The source is the gateway's reference (https://openrouter.ai/docs/api-reference/parameters, and the guides on
routing, reasoning and tools). New fields and new words arrive there without notice: what is not known here is
sent as it is, and what looks like a slip is said.
"""

import difflib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from raptchat.errors import UsageError
from raptchat.outside import safe_line, shortened, without_keys
from raptchat.providers.request import OWN_FIELDS, Effort

_MOST_SHOWN = 80
_NEAR = 0.8


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field may hold: *meaning* in words, and whether a value of JSON *fits*.

    *words* are the known ones of a text; *fields* are the known ones of an object.
    """

    meaning: str
    fits: Callable[[object], bool]
    words: tuple[str, ...] = ()
    fields: Mapping[str, "Kind"] = field(default_factory=dict)


def _range(noun: str, low: float, high: float) -> str:
    if math.isinf(high):
        return noun if math.isinf(low) else f"{noun} of {low:g} or more"
    return f"{noun} from {low:g} to {high:g}"


def _number(low: float = -math.inf, high: float = math.inf) -> Kind:
    def fits(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return Kind(_range("a number", low, high), fits)


def _whole(low: float = -math.inf, high: float = math.inf) -> Kind:
    number = _number(low, high)
    return Kind(_range("a whole number", low, high), lambda value: isinstance(value, int) and number.fits(value))


def _text(*words: str, longest: float = math.inf) -> Kind:
    meaning = "a text" if math.isinf(longest) else f"a text of at most {longest:g} characters"
    return Kind(meaning, lambda value: isinstance(value, str) and len(value) <= longest, words)


def _list(of: Kind, noun: str, most: float = math.inf) -> Kind:
    def fits(value: object) -> bool:
        return isinstance(value, list) and len(value) <= most and all(map(of.fits, value))

    return Kind(f"a list of {noun}" if math.isinf(most) else f"a list of at most {most:g} {noun}", fits)


def _object(**fields: Kind) -> Kind:
    return Kind("an object", lambda value: isinstance(value, dict), fields=fields)


def _either(one: Kind, other: Kind) -> Kind:
    return Kind(
        f"{one.meaning} or {other.meaning}",
        lambda value: one.fits(value) or other.fits(value),
        one.words + other.words,
        {**one.fields, **other.fields},
    )


_EFFORT = _text(*get_args(Effort))
_FLAG = Kind("true or false", lambda value: isinstance(value, bool))
_TEXTS = _list(_text(), "texts")
_OBJECTS = _list(_object(), "objects")
_COUNT = _whole(1)
_PRICE = _either(_number(0), _text())
_METADATA = Kind(
    "an object of at most 16 texts, with names of at most 64 and values of at most 512 characters",
    lambda value: (
        isinstance(value, dict)
        and len(value) <= 16
        and all(len(name) <= 64 and isinstance(text, str) and len(text) <= 512 for name, text in value.items())
    ),
)

FIELDS: Mapping[str, Kind] = {
    "audio": _object(format=_text(), voice=_text()),
    "cache_control": _object(type=_text("ephemeral"), ttl=_text("5m", "1h")),
    "debug": _object(echo_upstream_body=_FLAG),
    "frequency_penalty": _number(-2, 2),
    "image_config": _object(),
    "include_reasoning": _FLAG,
    "logit_bias": _object(),
    "logprobs": _FLAG,
    "max_completion_tokens": _COUNT,
    "max_tokens": _COUNT,
    "metadata": _METADATA,
    "min_p": _number(0, 1),
    "modalities": _TEXTS,
    "models": _TEXTS,
    "parallel_tool_calls": _FLAG,
    "plugins": _OBJECTS,
    "prediction": _object(),
    "presence_penalty": _number(-2, 2),
    "preset": _text(),
    "prompt_cache_key": _text(),
    "prompt_cache_options": _object(),
    "provider": _object(
        allow_fallbacks=_FLAG,
        data_collection=_text("allow", "deny"),
        enforce_distillable_text=_FLAG,
        ignore=_TEXTS,
        max_price=_object(prompt=_PRICE, completion=_PRICE, request=_PRICE, image=_PRICE, audio=_PRICE),
        only=_TEXTS,
        order=_TEXTS,
        preferred_max_latency=_either(_number(0), _object()),
        preferred_min_throughput=_either(_number(0), _object()),
        quantizations=_TEXTS,
        require_parameters=_FLAG,
        sort=_either(
            _text("price", "throughput", "latency", "exacto"),
            _object(by=_text(), partition=_text("model", "none")),
        ),
        zdr=_FLAG,
    ),
    "reasoning": _object(
        context=_text("auto", "all_turns", "current_turn"),
        effort=_EFFORT,
        enabled=_FLAG,
        exclude=_FLAG,
        max_tokens=_COUNT,
        mode=_text("standard", "pro"),
        summary=_text("auto", "concise", "detailed"),
    ),
    "reasoning_effort": _EFFORT,
    "repetition_penalty": _number(0, 2),
    "response_format": _object(
        type=_text("text", "json_object", "json_schema", "grammar", "python"),
        json_schema=_object(name=_text(), strict=_FLAG, schema=_object()),
    ),
    "route": _text("fallback", "sort"),
    "seed": _whole(),
    "service_tier": _text("auto", "default", "flex", "priority", "scale", "fast"),
    "session_id": _text(longest=256),
    "stop": _either(_text(), _list(_text(), "texts", most=4)),
    "stream_options": _object(include_usage=_FLAG),
    "temperature": _number(0, 2),
    "tool_choice": _either(_text("none", "auto", "required"), _object()),
    "tools": _OBJECTS,
    "top_a": _number(0, 1),
    "top_k": _whole(0),
    "top_logprobs": _whole(0, 20),
    "top_p": _number(0, 1),
    "trace": _object(),
    "transforms": _TEXTS,
    "usage": _object(include=_FLAG),
    "user": _text(),
    "verbosity": _text("low", "medium", "high", "xhigh", "max"),
}


def read(name: str, text: str) -> object:
    """What *text* means as the value of the field *name*: JSON, or else the text itself.

    Where the field holds a text, what is JSON of another kind is a text too: `-o user 123`. Raises `UsageError`.
    """
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    except RecursionError:
        raise UsageError(f"the value of `{_shown(name)}` is nested too deeply") from None
    kind = FIELDS.get(name)
    if kind and value is not None and not kind.fits(value) and kind.fits(text):
        return text
    return value


def combine(fields: Mapping[str, object], more: Mapping[str, object], source: str) -> dict[str, object]:
    """*fields*, and what *source* (a flag) adds to them: objects field by field, lists at their end.

    A plugin or a tool that is in both lists becomes one. Two values for one field are a `UsageError`.
    """
    return _combine(fields, more, source, "")


def _combine(
    fields: Mapping[str, object], more: Mapping[str, object], source: str, path: str
) -> dict[str, object]:
    result = dict(fields)
    for name, value in more.items():
        present = result.get(name)
        if name not in result:
            result[name] = value
        elif isinstance(present, dict) and isinstance(value, dict):
            result[name] = _combine(present, value, source, f"{path}{name}.")
        elif isinstance(present, list) and isinstance(value, list):
            result[name] = _appended(present, value, source, f"{path}{name}.")
        elif present != value:
            raise UsageError(
                f"`{source}` sets `{_shown(path + name)}` to `{_json(value)}`; it is `{_json(present)}` already",
                hint="keep one of them",
            )
    return result


def _appended(present: Sequence[object], more: Sequence[object], source: str, path: str) -> list[object]:
    result = list(present)
    for item in more:
        twin = next((index for index, other in enumerate(result) if _are_one(other, item)), None)
        if twin is None:
            result.append(item)
        else:
            other = result[twin]
            assert isinstance(other, dict)
            assert isinstance(item, dict)
            result[twin] = _combine(other, item, source, path)
    return result


def _are_one(one: object, other: object) -> bool:
    """Whether both are the same plugin, or the same tool of the gateway: only functions may come twice."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    name = "id" if "id" in one else "type"
    return name in one and one[name] == other.get(name) != "function"


def check(fields: Mapping[str, object]) -> list[str]:
    """What is odd about the *fields* of a request and yet sent, in words.

    Raises `UsageError` for a field that is not the user's to set, for a known one of the wrong kind or out of
    its range, and for what contradicts itself.
    """
    for name, value in fields.items():
        if name in OWN_FIELDS:
            raise UsageError(
                f"the field `{name}` cannot be set: the command decides it", hint="raptchat chat --help"
            )
        _check_is_json(name, value)
    notes = list(_inspect(fields, FIELDS, ""))
    reasoning = fields.get("reasoning")
    if isinstance(reasoning, dict):
        _check_reasoning(reasoning, fields.get("reasoning_effort"))
    return notes


def _inspect(fields: Mapping[str, object], known: Mapping[str, Kind], path: str) -> Iterator[str]:
    for name, value in fields.items():
        full = path + name
        kind = known.get(name)
        if kind is None:
            if near := _nearest(name, known):
                yield f"no field `{_shown(full)}` is known, and it is sent as it is: did you mean {near}?"
        elif value is not None:
            yield from _inspect_known(full, kind, value)


def _inspect_known(full: str, kind: Kind, value: object) -> Iterator[str]:
    if not kind.fits(value):
        raise UsageError(f"the field `{full}` must be {kind.meaning}, and is `{_json(value)}`")
    if isinstance(value, str) and kind.words and value not in kind.words:
        yield f"`{full}` is sent as `{_shown(value)}`; the known ones are {', '.join(kind.words)}"
    if isinstance(value, dict):
        yield from _inspect(value, kind.fields, f"{full}.")


def _nearest(name: str, known: Mapping[str, Kind]) -> str:
    """How to write the known field that *name* may have been meant for."""
    written = {name: f"`{name}`" for name in known}
    for outer, kind in known.items():
        for inner in kind.fields:
            inside = f"`-o {outer} '{{\"{inner}\": ...}}'`"
            written.setdefault(inner, inside)
            written[f"{outer}.{inner}"] = inside
    near = difflib.get_close_matches(name.casefold(), written, n=1, cutoff=_NEAR)
    return written[near[0]] if near else ""


def _check_reasoning(reasoning: Mapping[str, object], shorthand: object) -> None:
    effort = reasoning.get("effort")
    if effort is not None and reasoning.get("max_tokens") is not None:
        raise UsageError("`reasoning.effort` and `reasoning.max_tokens` exclude each other")
    if effort is not None and shorthand is not None and effort != shorthand:
        raise UsageError(
            f"`reasoning.effort` is `{_json(effort)}`, and `reasoning_effort` is `{_json(shorthand)}`",
            hint="keep one of them",
        )


def _check_is_json(name: str, value: object) -> None:
    try:
        # Python reads NaN, and takes 1e999 for infinity; JSON has neither.
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        raise UsageError(
            f"the value of `{_shown(name)}` has no form in JSON", hint="NaN and infinity are no numbers there"
        ) from None


def _json(value: object) -> str:
    return _shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _shown(text: str) -> str:
    # The key first: a cut must not leave a part of it.
    return safe_line(shortened(without_keys(text), _MOST_SHOWN))
