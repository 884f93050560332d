"""What one request of a group may cost, and the money that is kept for it until it is booked.

Its cost is estimated from list prices (`estimates`). Where a model has none (a router, a gateway without prices),
twice the most that the group's last requests to it are known to have cost stands for it; where there are none:

- for a budget, the amount of `--max-cost`, which is the word of the person who asks, or else all that is left, so
  that such requests go one by one until their cost is known; where the gateway will not name it either, all would
  be gone with the first of them, which is therefore refused;
- a group's rule `max-cost` cannot be held to, and the request is refused. `--max-cost` alone lets it pass.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from raptchat import reach
from raptchat.budgets import check, reserve
from raptchat.errors import BudgetExceededError, PolicyError
from raptchat.estimates import Estimate, dearest
from raptchat.factory import Factory
from raptchat.models import Models
from raptchat.naming import as_argument
from raptchat.outside import safe_line, shortened
from raptchat.providers import DEFAULT_PROVIDER
from raptchat.records import Group, Message, Usage
from raptchat.store.money import in_words

_MOST_SHOWN = 80
# A request may cost more than any before it.
_CAUTION = 2


class Allowance:
    """Holds one request to its group's budget and to what it may cost at most.

    *options* are those of the request, with the limit of the reply that this takes. `BudgetExceededError` when it
    cannot cost as little as *max_cost* or the group's rule `max-cost` say, whichever is less; `PolicyError` when
    nobody can tell, and the rule says so. The gateway may be asked for its list of models, unless not to *ask*.
    """

    def __init__(
        self,
        factory: Factory,
        group: Group,
        *,
        provider: str,
        model: str,
        options: Mapping[str, object],
        messages: Sequence[Message],
        max_cost: Decimal | None,
        ask: bool = True,
    ) -> None:
        self._store = factory.store
        self._group = group
        self._provider = provider
        self._model = model
        self._max_cost = max_cost
        self._id: str | None = None
        self._reserved: Decimal | None = None
        self.options = dict(options)
        names = list(dict.fromkeys(reach.models(model, options)))
        fallbacks = options.get("models")
        # What is named elsewhere is asked besides, by a plugin or a tool, and who knows how often.
        either = [model]
        if isinstance(fallbacks, list | tuple):
            either += [one for one in fallbacks if isinstance(one, str)]
        offered = Models(factory).offered(group, either, ask=ask) if set(names) <= set(either) else []
        self._prices = dearest(offered)
        limits = [limit for limit in (max_cost, group.policy.max_cost) if limit is not None]
        self._worst: Decimal | None
        if self._prices is None:
            self._worst = self._as_before(names)
        else:
            estimate = Estimate(self._prices, model, messages, options)
            if limits:
                held = estimate.held_to(min(limits), options)
                if held is None:
                    costs = f"could cost {in_words(estimate.input)} with no reply yet"
                    raise self._too_dear(costs, estimate.input)
                self.options = held
            self._worst = estimate.worst(self.options)

    def reserve(self, group: Group) -> None:
        """Keep the money for the request, in the caller's transaction; *group* is as it is in that.

        `BudgetExceededError` when the budget does not take it.
        """
        if group.budget is not None:
            self._id, self._reserved = reserve(self._store, group, self._worst)

    def check(self) -> None:
        """As `reserve`, but nothing is kept, and nothing written."""
        if self._group.budget is not None:
            check(self._store, self._group, self._worst)

    def extend(self) -> None:
        """Keep the money for longer: the request is under way."""
        if self._id is not None:
            self._store.budgets.extend(self._id)

    def release(self) -> None:
        """Let go of the money, in the transaction in which the request is booked."""
        if self._id is not None:
            self._store.budgets.release(self._id)

    @property
    def is_reserved(self) -> bool:
        """Whether money is kept."""
        return self._id is not None

    def estimate(self, usage: Usage) -> Decimal | None:
        """What a budget counts for the request while its cost is not known."""
        if self._prices is not None and (by_tokens := self._prices.of(usage)) is not None:
            return by_tokens
        return self._worst if self._reserved is None else self._reserved

    def _as_before(self, names: Sequence[str | None]) -> Decimal | None:
        """What stands for the cost where prices do not tell it."""
        rule = self._group.policy.max_cost
        known = [self._greatest_before(name) for name in names]
        costs = [cost * _CAUTION for cost in known if cost is not None]
        worst = max(costs) if costs and len(costs) == len(known) else None
        limits = [limit for limit in (rule, self._max_cost) if limit is not None]
        unknown = f"what `{_shown(self._model)}` costs is not known"
        if worst is None and rule is not None:
            raise PolicyError(
                f"group `{safe_line(self._group.name)}` has the rule `max-cost`, and {unknown}",
                hint=f"raptchat models --refresh -g {as_argument(self._group.name)} shows what each model costs",
                rule="max-cost",
                group=self._group.name,
            )
        if worst is None and self._max_cost is None and self._provider != DEFAULT_PROVIDER:
            raise BudgetExceededError(
                f"group `{safe_line(self._group.name)}` has a budget, and {unknown}: the gateway names no prices",
                hint="--max-cost AMOUNT says what it may cost at most",
                group=self._group.name,
            )
        if worst is not None and limits and worst > min(limits):
            raise self._too_dear(f"could cost {in_words(worst)}, going by earlier ones", worst)
        return self._max_cost if worst is None else worst

    def _greatest_before(self, name: str | None) -> Decimal | None:
        costs = self._store.budgets
        if name is not None and not _stands_for(name):
            return costs.greatest_cost(self._group.id, name)
        # That all of them were free tells nothing of the one that is chosen next.
        return costs.greatest_cost(self._group.id, None) or None

    def _too_dear(self, costs: str, cost: Decimal) -> BudgetExceededError:
        rule, own = self._group.policy.max_cost, self._max_cost
        if own is None or (rule is not None and rule < own):
            assert rule is not None
            most, whose = rule, f"the rule `max-cost` of group `{safe_line(self._group.name)}`"
        else:
            most, whose = own, "`--max-cost`"
        return BudgetExceededError(
            f"a request to `{_shown(self._model)}` {costs}, and {whose} allows {in_words(most)}",
            hint="a shorter prompt, or a cheaper model with -m: raptchat models --sort price",
            group=self._group.name,
            rule="max-cost",
            estimate=format(cost, "f"),
            maxCost=format(most, "f"),
        )


def _stands_for(model: str) -> bool:
    """Whether the ledger knows *model* by other names only: those of the models that answered in its place."""
    return model.startswith(("~", "openrouter/")) or "@" in model


def _shown(text: str) -> str:
    return safe_line(shortened(text, _MOST_SHOWN))
