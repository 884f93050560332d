"""The rules and the budget of a group in a bundle's document, and back."""

from decimal import Decimal

from raptchat import policy
from raptchat.bundle.fields import Fields, refused
from raptchat.records import Budget, Policy


def write_policy(rules: Policy) -> dict[str, object]:
    """The rules of a group as an object."""
    return {
        "models": ",".join(rules.models),
        "zdr": rules.zdr,
        "denyTraining": rules.deny_training,
        "maxCost": None if rules.max_cost is None else _amount(rules.max_cost),
        "noHistory": rules.no_history,
    }


def read_policy(fields: Fields) -> Policy:
    """What `write_policy` made an object of."""
    models = fields.checked("models", lambda text: ",".join(policy.patterns(text)))
    found = Policy(
        models=policy.patterns(models),
        zdr=fields.flag("zdr"),
        deny_training=fields.flag("denyTraining"),
        max_cost=fields.optional_amount("maxCost"),
        no_history=fields.flag("noHistory"),
    )
    fields.end()
    return found


def write_budget(budget: Budget) -> dict[str, object]:
    """A budget as an object."""
    return {"amount": _amount(budget.amount), "period": budget.period, "warnPercent": budget.warn_percent}


def read_budget(fields: Fields) -> Budget:
    """What `write_budget` made an object of."""
    found = Budget(
        amount=fields.amount("amount"),
        period=fields.one_of("period", "day", "week", "month"),
        warn_percent=fields.number("warnPercent"),
    )
    if not 1 <= found.warn_percent <= 100:
        refused(fields.at("warnPercent"), "is no percentage from 1 to 100")
    fields.end()
    return found


def _amount(dollars: Decimal) -> str:
    return format(dollars.normalize() if dollars else Decimal(0), "f")
