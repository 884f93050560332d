"""What a group may spend in a day, a week or a month, and what is left of it.

Periods begin at midnight UTC, weeks on Monday, as those of the gateway's own caps do (OpenRouter API reference,
"Limits").
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from raptchat.errors import BudgetExceededError
from raptchat.naming import as_argument
from raptchat.outside import safe_line
from raptchat.records import Budget, Group, Period
from raptchat.store.money import in_words

if TYPE_CHECKING:
    from raptchat.store import Store

_NOTHING = Decimal(0)


class Standing(NamedTuple):
    """How a group stands: amounts in US dollars, *resets_at* in UTC.

    *spent* counts the *unknown_costs*, which are that many, cautiously; *reserved* is for requests that are under
    way. *left* is never below 0.
    """

    budget: Budget
    spent: Decimal
    reserved: Decimal
    resets_at: datetime
    unknown_costs: int = 0

    @property
    def left(self) -> Decimal:
        """What may still be spent."""
        return max(_NOTHING, self.budget.amount - self.spent - self.reserved)

    @property
    def is_to_warn(self) -> bool:
        """Whether so much is spent that whoever spends is told."""
        return self.spent > 0 and self.spent * 100 >= self.budget.amount * self.budget.warn_percent

    @property
    def resets(self) -> str:
        """When the next period begins, in words."""
        return self.resets_at.strftime("%Y-%m-%d %H:%M UTC")


def standing(store: "Store", group: Group) -> Standing | None:
    """How *group* stands now; `None` without a budget."""
    if group.budget is None:
        return None
    begins, ends = bounds(group.budget.period, datetime.now(UTC))
    spending = store.budgets.spending(group.id, begins.date().isoformat())
    return Standing(group.budget, spending.spent, spending.reserved, ends, spending.unknown_costs)


def bounds(period: Period, now: datetime) -> tuple[datetime, datetime]:
    """When the period that *now* is in begins, and when the next one does (UTC)."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return day, day + timedelta(days=1)
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


def reserve(store: "Store", group: Group, worst: Decimal | None) -> tuple[str, Decimal]:
    """Keep what a request may cost, in the caller's transaction; the reservation's id and its amount.

    *worst* is `None` where nobody can tell: then all that is left is kept, so that such requests go one by one.
    What costs nothing is never refused. Raises `BudgetExceededError`; the group has a budget.
    """
    amount = check(store, group, worst)
    return store.budgets.reserve(group.id, amount), amount


def check(store: "Store", group: Group, worst: Decimal | None) -> Decimal:
    """As `reserve`, but nothing is kept: the amount that would be."""
    now = standing(store, group)
    assert now is not None
    amount = now.left if worst is None else worst
    if amount > now.left or (worst is None and not now.left):
        raise _exceeded(group, now, worst)
    return amount


def _exceeded(group: Group, now: Standing, worst: Decimal | None) -> BudgetExceededError:
    costs = "what this costs is not known" if worst is None else f"this could cost {in_words(worst)}"
    budget = now.budget
    return BudgetExceededError(
        f"the budget of group `{safe_line(group.name)}` is {in_words(budget.amount)} a {budget.period}:"
        f" {in_words(now.spent)} is spent, {in_words(now.reserved)} reserved and {in_words(now.left)} left,"
        f" and {costs}; it resets at {now.resets}",
        hint=f"{_way_out(now, worst)}raptchat group budget {as_argument(group.name)}",
        group=group.name,
        budget=_text(budget.amount),
        period=budget.period,
        spent=_text(now.spent),
        reserved=_text(now.reserved),
        estimate=None if worst is None else _text(worst),
        left=_text(now.left),
        resetsAt=now.resets_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _way_out(now: Standing, worst: Decimal | None) -> str:
    if now.unknown_costs:
        return "raptchat usage --refresh asks for the costs that are not known; "
    if worst is None:
        return "with --max-cost AMOUNT no more than that is reserved for a request; " if now.reserved else ""
    return "--max-tokens N allows a shorter reply; " if now.left else ""


def _text(amount: Decimal) -> str:
    return format(amount.normalize() if amount else _NOTHING, "f")
