"""What is asked for, and what all bills in Markdown have in common."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from raptchat.cli.documents import money
from raptchat.cli.usage.period import Period
from raptchat.records import Group, UsageRow
from raptchat.render import Terminal

if TYPE_CHECKING:
    from raptchat.render.bills import Bill

NOT_KNOWN = "unknown"
NOTHING = UsageRow({}, 0, None, None, None, None, None, None, 0, 0)

N = TypeVar("N", int, Decimal)
Form = Literal["plain", "json", "csv", "markdown"]


class Report(NamedTuple):
    """The usage of *group*, or of all, in *period*, asked for at the time *now*."""

    group: Group | None
    period: Period
    now: str
    form: Form

    @property
    def nothing(self) -> str:
        """What is said on standard error where nothing was used."""
        bounded = self.period.first or self.period.last
        return f"nothing was used {self.period.words}" if bounded else "nothing was used yet"

    def bill(self, terminal: Terminal, columns: Sequence[str], *, numeric: Collection[str]) -> "Bill":
        """A bill in Markdown, whose heading is written."""
        from raptchat.render.bills import Bill

        bill = Bill(terminal, columns, numeric=numeric)
        name = self.group.name if self.group is not None else None
        bill.heading(f"Usage {self.period.words}", group=name, made=f"{self.now[:10]} {self.now[11:19]}")
        return bill

    def note_nothing(self, bill: "Bill") -> None:
        """Say on a bill without lines that it has none."""
        bill.note(f"{self.nothing[0].upper()}{self.nothing[1:]}.")


def dollars(amount: Decimal | None) -> str:
    """*amount* in US dollars for a cell of Markdown: all of its digits, two of them at least after the point."""
    text = money(amount)
    if text is None:
        return NOT_KNOWN
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<2}"


def number(count: int | None) -> str:
    """*count* for a cell of Markdown."""
    return NOT_KNOWN if count is None else str(count)


def added(one: UsageRow, other: UsageRow) -> UsageRow:
    """Both as one; the sums are over what is known."""
    return UsageRow(
        keys={},
        requests=one.requests + other.requests,
        input_tokens=_known(one.input_tokens, other.input_tokens),
        output_tokens=_known(one.output_tokens, other.output_tokens),
        total_tokens=_known(one.total_tokens, other.total_tokens),
        cached_tokens=_known(one.cached_tokens, other.cached_tokens),
        reasoning_tokens=_known(one.reasoning_tokens, other.reasoning_tokens),
        cost=_known(one.cost, other.cost),
        unknown_tokens=one.unknown_tokens + other.unknown_tokens,
        unknown_costs=one.unknown_costs + other.unknown_costs,
    )


def _known(one: N | None, other: N | None) -> N | None:
    return other if one is None else one if other is None else one + other


def cell(value: object) -> str | None:
    """*value* of a document for a cell of CSV."""
    return None if value is None else str(value)


def note_unknown(bill: "Bill", total: UsageRow) -> None:
    """Say in words what *total* leaves out: so many requests of unknown cost, and so many of unknown tokens."""
    for what, are, count in (("cost", "is", total.unknown_costs), ("tokens", "are", total.unknown_tokens)):
        if count:
            bill.note(f"The {what} of {requests(count)} {are} not known, and the total is without.")


def requests(count: int) -> str:
    """How many requests, in words."""
    return f"{count:,} request{'' if count == 1 else 's'}"
