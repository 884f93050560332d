"""What there is to say about a reply, on standard error, once it is written."""

from collections.abc import Mapping
from decimal import Decimal

from raptchat.cli.budget_left import left_in_words, standing_of
from raptchat.cli.chat.pace import Pace
from raptchat.cli.invocation import Invocation
from raptchat.records import DoneChunk, Group
from raptchat.render import Terminal
from raptchat.render.formats import duration, tokens, usd


def warn(
    terminal: Terminal,
    done: DoneChunk,
    *,
    asked: str,
    options: Mapping[str, object],
    max_cost: Decimal | None = None,
) -> None:
    """Say what a person must not overlook: a reply that was cut, another model than *asked*, a cost too high."""
    if done.finish_reason == "length":
        terminal.say("the reply was cut at its length limit: --max-tokens N allows more")
    elif done.finish_reason == "content_filter":
        terminal.say("the reply was cut by the gateway's content filter")
    models = options.get("models")
    others = [name for name in models if isinstance(name, str)] if isinstance(models, list | tuple) else []
    if others and _is_fallback(done.model, asked, others):
        terminal.say(f"{done.model} answered in place of {asked}")
    if max_cost is not None and done.usage.cost is not None and done.usage.cost > max_cost:
        terminal.say(
            f"the reply cost {usd(done.usage.cost)}, more than --max-cost: its price was not known before"
        )


def warn_of_budget(group: Group, run: Invocation) -> None:
    """Say that most of the group's budget is spent, once it is."""
    standing = standing_of(run, group)
    if standing is not None and standing.is_to_warn:
        run.terminal.say(f"group {group.name}: {left_in_words(standing)}")


def cite(terminal: Terminal, done: DoneChunk) -> None:
    """List the pages that the reply rests on, where somebody looks."""
    if done.citations and terminal.err_is_tty:
        pages = (f"{page.title} {page.url}" if page.title else page.url for page in done.citations)
        terminal.say("sources:", *(f"[{number}] {page}" for number, page in enumerate(pages, start=1)))


def usage_line(done: DoneChunk, pace: Pace | None = None) -> str:
    """What a reply took, and how fast it came if that is known, in one line."""
    usage = done.usage
    cached = f" ({tokens(usage.cached_tokens)} cached)" if usage.cached_tokens else ""
    thought = f" ({tokens(usage.reasoning_tokens)} reasoning)" if usage.reasoning_tokens else ""
    said = [
        f"{tokens(usage.input_tokens)} tokens in{cached}",
        f"{tokens(usage.output_tokens)} out{thought}",
        usd(usage.cost) if usage.cost is not None else "cost unknown",
        done.model,
    ]
    if pace is not None:
        if (seconds := pace.seconds_to_first_token) is not None:
            said.append(f"first token after {duration(seconds)}")
        if (speed := pace.tokens_per_second(usage)) is not None:
            said.append(f"{speed:,.0f} tokens/s")
    return ", ".join(said)


def _is_fallback(served: str, asked: str, others: list[str]) -> bool:
    """Whether *served* is not what was *asked* for, as far as names tell: a host adds its version to a name."""
    # Without what is no part of a name, such as `:free`.
    bases = [name.partition(":")[0] for name in (asked, *others)]
    fitting = [base for base in bases if served.startswith(base)]
    if fitting:
        return max(fitting, key=len) != bases[0]
    # What an alias (`~anthropic/claude-haiku-latest`) or a router stands for cannot be told.
    return not asked.startswith(("~", "openrouter/"))
