"""What a chat request reaches beside the model that it is for: other models, and the web.

The fields are those of the OpenRouter API reference ("Model Fallbacks", "Plugins", "Web Search", "Presets"), and
`fallbacks` of LiteLLM's.
"""

from collections.abc import Iterator, Mapping, Sequence

# Plugins that send a request to models of their own choice.
_CHOOSING = ("auto-router", "auto-beta-router", "pareto-router", "fusion")
_DEEPEST = 20


def models(model: str, options: Mapping[str, object]) -> Iterator[str | None]:
    """Each model that a request to *model* names in its *options*, wherever it does; that one first.

    `None` for one that only the gateway knows, or that is named in a way that cannot be read.
    """
    yield model
    for field in ("model", "models", "fallbacks"):
        yield from _names(options.get(field))
    if (preset := options.get("preset")) is not None:
        yield f"@preset/{preset}"
    for plugin in _list(options, "plugins"):
        if isinstance(plugin, dict) and plugin.get("id") in _CHOOSING and plugin.get("enabled") is not False:
            yield None
        yield from _inside(plugin)
    for tool in _list(options, "tools"):
        # What a function of the user's own is called with is not the gateway's business.
        if not (isinstance(tool, dict) and tool.get("type") == "function"):
            yield from _inside(tool)


def suffixes(model: str, options: Mapping[str, object]) -> set[str]:
    """What stands behind a colon of any of its models, such as `online` or `nitro`."""
    named = [name for name in models(model, options) if name is not None]
    return {suffix for name in named for suffix in name.casefold().split(":")[1:]}


def searches(model: str, options: Mapping[str, object]) -> bool:
    """Whether the web may be searched for it: each search is paid for, and goes to another host than the model."""
    entries = [one for field in ("plugins", "tools") for one in _list(options, field) if isinstance(one, dict)]
    words = [str(one.get("type", one.get("id"))) for one in entries if one.get("enabled") is not False]
    return (
        "online" in suffixes(model, options)
        or any(word.removeprefix("openrouter:").startswith("web") for word in words)
        or options.get("web_search_options") is not None
    )


def _list(options: Mapping[str, object], field: str) -> Sequence[object]:
    entries = options.get(field)
    return entries if isinstance(entries, list | tuple) else ()


def _inside(value: object, depth: int = 0) -> Iterator[str | None]:
    if depth > _DEEPEST:
        yield None
    elif isinstance(value, dict):
        for name, inner in value.items():
            if "model" in str(name).casefold():
                yield from _names(inner)
            else:
                yield from _inside(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _inside(inner, depth + 1)


def _names(value: object) -> Iterator[str | None]:
    for name in value if isinstance(value, list | tuple) else [] if value is None else [value]:
        yield name if isinstance(name, str) else None
