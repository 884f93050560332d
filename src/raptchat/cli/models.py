"""`raptchat models`: what a group can use, what it costs, and what it can do."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raptchat.cli.documents import Document, money
from raptchat.cli.invocation import Invocation, invocation
from raptchat.cli.options import GroupOption, choose_group
from raptchat.outside import without_keys
from raptchat.records import Group, Model, RetryChunk
from raptchat.render import Terminal, tables
from raptchat.render.formats import duration, tokens, when
from raptchat.render.pager import paged

if TYPE_CHECKING:
    from raptchat.models import Listing

# Of what a request may ask for, what people choose a model by; in the words of `raptchat chat`'s flags.
_ABILITIES = {"tools": "tools", "reasoning": "reasoning", "structured_outputs": "schema"}
# At a terminal with fewer cells these would fold the ids; one model alone is shown with all that is known.
_LEAST_WIDTH = {"context": 50, "expires": 70, "alias": 70, "takes": 110, "supports": 110}


class Sort(Enum):
    """What `--sort` takes."""

    PRICE = "price"
    CONTEXT = "context"
    NEW = "new"


def models(
    ctx: typer.Context,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Only those with all of these words in their id, name or alias."),
    ] = None,
    group: GroupOption = None,
    sort: Annotated[
        Sort | None, typer.Option(help="The cheapest, the largest or the newest first, instead of by id.")
    ] = None,
    free: Annotated[bool, typer.Option("--free", help="Only those that cost nothing.")] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask the gateway also when the last list is less than a day old.")
    ] = False,
) -> None:
    """List the models that a group can use, with what they cost."""
    run = invocation(ctx)
    settings = run.factory.settings
    payer = choose_group(run, group).group
    listing = _listing(run, payer, refresh=refresh)
    aliases: dict[str, list[str]] = {}
    for alias in settings.aliases:
        aliases.setdefault(settings.model_named(alias), []).append(alias)
    words = " ".join(text or []).casefold().split()
    found = [
        model
        for model in listing.models
        if (model.is_free or not free) and _has(words, [model.id, model.name, *aliases.get(model.id, [])])
    ]
    found.sort(key=lambda model: model.id.casefold())
    if sort is not None:
        found.sort(key=_ORDERS[sort])
    used = {settings.model_named(payer.model or settings.default_model), *aliases}
    for model in found:
        if model.expires_on and model.id in used:
            run.terminal.say(f"note: `{model.id}`, which you use, is not offered any more from {model.expires_on}")
    if run.json:
        return tables.document(run.terminal, [_document(model, aliases.get(model.id, [])) for model in found])
    if run.terminal.out_is_tty and len(found) == 1:
        return _show(run.terminal, found[0], aliases.get(found[0].id, []))
    if not found:
        names = [*settings.aliases, *(model.id for model in listing.models)]
        return run.terminal.say(_nothing_found(words, names, free=free))
    return _list(run.terminal, found, aliases)


def _listing(run: Invocation, group: Group, *, refresh: bool) -> "Listing":
    from raptchat.models import Models
    from raptchat.render.waiting import Waiting

    with Waiting(run.terminal, model="the list of models") as waiting:
        waiting.note("waiting")

        def retrying(retry: RetryChunk) -> None:
            waiting.say(f"{retry.reason}: trying again in {duration(retry.seconds)}")

        listing = Models(run.factory).listing(group, refresh=refresh, retrying=retrying)
    if listing.problem is not None:
        run.terminal.say(f"note: this list is of {when(listing.fetched_at)}: {listing.problem}")
    return listing


def _has(words: Sequence[str], texts: Sequence[str]) -> bool:
    joined = "\n".join(texts).casefold()
    return all(word in joined for word in words)


def _nothing_found(words: Sequence[str], names: Sequence[str], *, free: bool) -> str:
    from raptchat.models import nearest

    if not names:
        return "the gateway lists no model for this group"
    which = "free model" if free else "model"
    if not words:
        return f"there is no {which}"
    wanted = without_keys(" ".join(words))[:80]
    close = ", ".join(f"`{name}`" for name in nearest(names, wanted))
    return f"there is no {which} like `{wanted}`" + (f"; did you mean {close}?" if close else "")


def _list(terminal: Terminal, found: Sequence[Model], aliases: Mapping[str, list[str]]) -> None:
    columns: dict[str, Callable[[Model], str | None]] = {
        "id": lambda model: model.id,
        "in $/M": lambda model: _price(model.input_price),
        "out $/M": lambda model: _price(model.output_price),
        "context": lambda model: tokens(model.context_length),
        "takes": lambda model: _joined(model.input_modalities),
        "supports": lambda model: _joined(
            [word for name, word in _ABILITIES.items() if name in model.supported_parameters]
        ),
        "expires": lambda model: model.expires_on,
        "alias": lambda model: _joined(aliases.get(model.id, [])),
    }
    if terminal.out_is_tty:
        # What says nothing, or has no room, is left out; into a pipe the columns are always the same.
        columns = {
            name: cell
            for name, cell in columns.items()
            if any(map(cell, found)) and terminal.width >= _LEAST_WIDTH.get(name, 0)
        }
    rows = [[cell(model) for cell in columns.values()] for model in found]
    with paged(terminal) as page:
        tables.table(page, list(columns), rows, numeric=("in $/M", "out $/M", "context"), empty="")


def _show(terminal: Terminal, model: Model, aliases: Sequence[str]) -> None:
    pairs = [
        ("id", model.id),
        ("name", model.name),
        ("alias", _joined(aliases)),
        ("price in", _dollars(model.input_price, "for a million tokens")),
        ("price out", _dollars(model.output_price, "for a million tokens")),
        ("price each", _dollars(model.request_price, "for each request") if model.request_price else None),
        ("context", f"{tokens(model.context_length)} tokens" if model.context_length else None),
        ("takes", _joined(model.input_modalities)),
        ("supports", _joined(model.supported_parameters)),
        ("offered since", when(model.created_at) if model.created_at else None),
        ("expires", model.expires_on),
    ]
    tables.fields(terminal, [pair for pair in pairs if pair[1] is not None])


def _joined(words: Sequence[str]) -> str | None:
    return " ".join(words) or None


def _price(price: Decimal | None) -> str | None:
    if price is None:
        return None
    whole, _, fraction = format(price, "f").partition(".")
    return f"{whole}.{fraction:0<2}"


def _dollars(price: Decimal | None, what: str) -> str:
    return "unknown" if price is None else f"${_price(price)} {what}"


def _by_price(model: Model) -> tuple[bool, Decimal]:
    if model.input_price is None or model.output_price is None:
        return True, Decimal(0)
    return False, model.input_price + model.output_price


# What is not known comes last.
_ORDERS: dict[Sort, Callable[[Model], Any]] = {
    Sort.PRICE: _by_price,
    Sort.CONTEXT: lambda model: -(model.context_length or 0),
    Sort.NEW: lambda model: -datetime.fromisoformat(model.created_at).timestamp() if model.created_at else 0,
}


def _document(model: Model, aliases: Sequence[str]) -> Document:
    return {
        "id": model.id,
        "name": model.name,
        "aliases": list(aliases),
        "inputPricePerMillion": money(model.input_price),
        "outputPricePerMillion": money(model.output_price),
        "requestPrice": money(model.request_price),
        "contextLength": model.context_length,
        "inputModalities": list(model.input_modalities),
        "supportedParameters": list(model.supported_parameters),
        "createdAt": model.created_at,
        "expiresOn": model.expires_on,
    }
