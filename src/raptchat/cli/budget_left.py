"""What is left of a group's budget, where it has one."""

from typing import TYPE_CHECKING

from raptchat.cli.invocation import Invocation
from raptchat.records import Group

if TYPE_CHECKING:
    from raptchat.budgets import Standing


def standing_of(run: Invocation, group: Group) -> "Standing | None":
    """How *group* stands now; `None`, without a question to the store, where it has no budget."""
    if group.budget is None:
        return None
    from raptchat.budgets import standing

    return standing(run.factory.store, group)


def left_in_words(standing: "Standing") -> str:
    """What is left, such as `$0.20 left of $20.00 a month, until 2026-12-01 00:00 UTC`."""
    from raptchat.store.money import in_words

    budget = standing.budget
    left, amount = in_words(standing.left), in_words(budget.amount)
    return f"{left} left of {amount} a {budget.period}, until {standing.resets}"
