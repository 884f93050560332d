"""A group's rules: which models it may ask, and what the gateway has to keep.

What a rule asks of the gateway goes with each request (OpenRouter API reference, "Provider Routing":
`provider.zdr`, `provider.data_collection`). The rule `max-cost` is held to in `allowance`, since it takes prices.
"""

from collections.abc import Iterable, Mapping

from raptchat import reach
from raptchat.errors import PolicyError, UsageError
from raptchat.naming import as_argument
from raptchat.outside import safe_line, shortened
from raptchat.providers import DEFAULT_PROVIDER
from raptchat.records import Group, Policy

_MOST_PATTERNS = 100
_LONGEST_PATTERN = 200
_MOST_SHOWN = 80


def patterns(text: str) -> tuple[str, ...]:
    """The patterns in *text*, with commas between, such as `anthropic/*,openai/gpt-5`; `UsageError` for others."""
    found = tuple(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    for one in found:
        if len(one) > _LONGEST_PATTERN or not one.isprintable() or " " in one:
            raise UsageError(
                f"`{_shown(one)}` is no pattern of models", hint='a model\'s id, `*` for anything: "anthropic/*"'
            )
    if len(found) > _MOST_PATTERNS:
        raise UsageError(f"a group has at most {_MOST_PATTERNS} patterns of models")
    if text.strip() and not found:
        raise UsageError("`--models` names no model", hint='"anthropic/*,openai/gpt-5", or "" to allow all')
    return found


def check(
    policy: Policy, *, provider: str, model: str, options: Mapping[str, object], group: str
) -> dict[str, object]:
    """*options*, the further fields of a request to *model*, with what the gateway has to keep for *policy*.

    Every model that may answer is looked at. Raises `PolicyError`, which names the rule, for what is outside of
    them; *group* is the name of the group whose they are.
    """
    result = dict(options)
    if policy.models:
        for name in reach.models(model, options):
            if name is None:
                raise _refused(group, "models", "and an option or a plugin leaves it open")
            check_model(policy, name, group=group)
    if policy.zdr and reach.searches(model, options):
        raise _refused(group, "zdr", "which a search of the web does not keep", hint="leave out --web")
    wanted: list[tuple[str, str, object]] = [
        *([("zdr", "zdr", True)] if policy.zdr else []),
        *([("deny-training", "data_collection", "deny")] if policy.deny_training else []),
    ]
    if not wanted:
        return result
    routing = result.get("provider")
    routing = {} if routing is None else routing
    for rule, name, value in wanted:
        if provider != DEFAULT_PROVIDER:
            raise _refused(group, rule, f"which the provider `{safe_line(provider)}` cannot keep")
        if not isinstance(routing, dict):
            raise _refused(group, rule, "and `provider` is no object to say so in")
        said = routing.get(name)
        if said is not None and said != value:
            problem = f"and `provider.{name}` says the contrary: `{_shown(str(said))}`"
            raise _refused(group, rule, problem, hint=f"leave out `{name}`")
        routing = {**routing, name: value}
    return {**result, "provider": routing}


def check_model(policy: Policy, model: str, *, group: str) -> None:
    """`PolicyError` for a model that the rule `models` does not allow.

    The `~` of an alias and what stands behind a colon (`:nitro`) need not be in a pattern. What stands for models
    that the gateway chooses (`openrouter/auto`, a preset) is allowed only by its own name.
    """
    if not policy.models or _is_allowed(policy.models, model.casefold()):
        return
    allowed = ", ".join(f"`{_shown(one)}`" for one in policy.models)
    raise _refused(
        group,
        "models",
        f"which allows no model but {allowed}: `{_shown(model)}`",
        hint="choose one of these with -m",
        model=_shown(model),
    )


def refuse_history(group: Group) -> None:
    """`PolicyError` for a group whose conversations are not stored."""
    if group.policy.no_history:
        raise _refused(
            group.name,
            "no-history",
            "and its conversations are not stored",
            hint=f"raptchat chat -g {as_argument(group.name)} begins one that is not stored",
        )


def _is_allowed(allowed: Iterable[str], model: str) -> bool:
    folded = [one.casefold() for one in allowed]
    if model.removeprefix("~").startswith("openrouter/") or "@" in model:
        return model in folded
    spelled = {form.removeprefix("~") for form in (model, model.partition(":")[0])}
    return any(_fits(one.removeprefix("~"), form) for one in folded for form in spelled)


def _fits(pattern: str, model: str) -> bool:
    # Piece by piece, each at the first place: time in proportion, whatever the pattern.
    first, *pieces = pattern.split("*")
    if not pieces:
        return model == first
    *middle, last = pieces
    if not model.startswith(first):
        return False
    at = len(first)
    for piece in middle:
        found = model.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return model.endswith(last) and at + len(last) <= len(model)


def _refused(group: str, rule: str, problem: str, *, hint: str = "", **fields: object) -> PolicyError:
    said = f"group `{safe_line(group)}` has the rule `{rule}`, {problem}"
    return PolicyError(said, hint=hint, rule=rule, group=group, **fields)


def _shown(text: str) -> str:
    return safe_line(shortened(text, _MOST_SHOWN))
