"""The rules of a group, as flags set them and as they are shown."""

from typing import Annotated, Any

import typer

from raptchat.cli.options import amount_or_none
from raptchat.records import Budget, Policy

ModelsOption = Annotated[
    str | None,
    typer.Option(
        "--models",
        metavar="PATTERNS",
        help='Only these models: "anthropic/*,openai/gpt-5"; "" allows all.',
    ),
]
ZdrOption = Annotated[
    bool | None, typer.Option("--zdr/--no-zdr", help="Only hosts that keep nothing (zero data retention).")
]
DenyTrainingOption = Annotated[
    bool | None,
    typer.Option("--deny-training/--no-deny-training", help="Only hosts that do not train on what they are sent."),
]
MaxCostOption = Annotated[
    str | None,
    typer.Option("--max-cost", metavar="AMOUNT", help='The most that a request may cost, in dollars; "" for any.'),
]
NoHistoryOption = Annotated[
    bool | None, typer.Option("--no-history/--history", help="Never store the group's conversations.")
]


def rules(
    models: str | None, zdr: bool | None, deny_training: bool | None, max_cost: str | None, no_history: bool | None
) -> dict[str, Any]:
    """The fields of `Policy` that the flags change; an empty text takes a rule away. `UsageError`."""
    from raptchat.policy import patterns

    changed: dict[str, Any] = {"zdr": zdr, "deny_training": deny_training, "no_history": no_history}
    changed = {name: value for name, value in changed.items() if value is not None}
    if models is not None:
        changed["models"] = patterns(models)
    if max_cost is not None:
        changed["max_cost"] = amount_or_none(max_cost, "--max-cost") if max_cost else None
    return changed


def columns(policy: Policy, changed: dict[str, Any]) -> dict[str, str | int | None]:
    """*policy* with what is *changed*, as columns of a group; none where nothing is."""
    from raptchat.store.groups import policy_columns

    return policy_columns(policy._replace(**changed)) if changed else {}


def shown(policy: Policy) -> str | None:
    """The rules that are set, by name."""
    from raptchat.store.money import in_words

    said = [
        *([f"models {', '.join(policy.models)}"] if policy.models else []),
        *(["zdr"] if policy.zdr else []),
        *(["deny-training"] if policy.deny_training else []),
        *([f"max-cost {in_words(policy.max_cost)}"] if policy.max_cost is not None else []),
        *(["no-history"] if policy.no_history else []),
    ]
    return "; ".join(said) or None


def shown_budget(budget: Budget) -> str:
    """A budget in words, such as `$20.00 a month, a warning at 80%`."""
    from raptchat.store.money import in_words

    return f"{in_words(budget.amount)} a {budget.period}, a warning at {budget.warn_percent}%"
