"""A group's key for one other program: what is put into that program's environment, and what is taken out of it.

Which variables are read by whom, as their sources have it:
- the OpenAI libraries: `OPENAI_API_KEY`, `OPENAI_BASE_URL` (openai/openai-python, `src/openai/_client.py`), and
  with them `llm` and `shell_gpt`; older ones, LiteLLM, `aider` and `aichat`: `OPENAI_API_BASE`
- LiteLLM, `aider` and `aichat`: `OPENROUTER_API_KEY`, `OPENROUTER_API_BASE` (BerriAI/litellm, `litellm/main.py`;
  sigoden/aichat, `src/client/macros.rs`)
- `llm` with its plugin: `OPENROUTER_KEY` (simonw/llm-openrouter, `llm_openrouter.py`)
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from raptchat.config import child_environment
from raptchat.credentials import CredentialService
from raptchat.errors import PolicyError, UsageError
from raptchat.factory import Factory
from raptchat.outside import safe_line, without_keys
from raptchat.records import Credential, Group
from raptchat.secret import Secret

# With each, those that say where the key goes: a key must not go to the place of another one.
_PLACES = {
    "OPENAI_API_KEY": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "OPENROUTER_API_KEY": ("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE"),
}
_OTHER_PLACES = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE", "AZURE_OPENAI_ENDPOINT", "LITELLM_API_BASE")
# What pays for language models.
_OTHER_KEYS = (
    "AI21_API_KEY",
    "AIDER_ANTHROPIC_API_KEY",
    "AIDER_API_KEY",
    "AIDER_OPENAI_API_KEY",
    "AI_GATEWAY_API_KEY",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AZURE_AI_API_KEY",
    "AZURE_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "CEREBRAS_API_KEY",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "COHERE_API_KEY",
    "CO_API_KEY",
    "DASHSCOPE_API_KEY",
    "DEEPINFRA_API_KEY",
    "DEEPSEEK_API_KEY",
    "FIREWORKS_AI_API_KEY",
    "FIREWORKS_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GENERATIVE_AI_API_KEY",
    "GROQ_API_KEY",
    "HF_TOKEN",
    "HUGGINGFACE_API_KEY",
    "HUGGING_FACE_HUB_TOKEN",
    "LITELLM_API_KEY",
    "LITELLM_MASTER_KEY",
    "LLM_API_KEY",
    "LLM_DEEPSEEK_KEY",
    "LLM_GEMINI_KEY",
    "LLM_GROQ_KEY",
    "LLM_MISTRAL_KEY",
    "MISTRAL_API_KEY",
    "MOONSHOT_API_KEY",
    "NVIDIA_API_KEY",
    "NVIDIA_NIM_API_KEY",
    "OLLAMA_API_KEY",
    "OPENAI_KEY",
    "OPENROUTER_KEY",
    "PERPLEXITYAI_API_KEY",
    "PERPLEXITY_API_KEY",
    "REPLICATE_API_KEY",
    "REPLICATE_API_TOKEN",
    "SAMBANOVA_API_KEY",
    "TOGETHERAI_API_KEY",
    "TOGETHER_API_KEY",
    "XAI_API_KEY",
    "ZAI_API_KEY",
)
_REMOVED = {*_PLACES, *(name for names in _PLACES.values() for name in names), *_OTHER_PLACES, *_OTHER_KEYS}

# Such as a program's own start depends on.
_NO_KEY_VARIABLES = re.compile(r"PATH|HOME|SHELL|USER|IFS|LD_\w+|DYLD_\w+|PYTHON\w+|RAPTCHAT_\w+")


class Loan(NamedTuple):
    """The *environment* of the program that gets the key of *credential*."""

    credential: Credential
    environment: dict[str, str]

    def __repr__(self) -> str:
        return f"Loan({self.credential!r})"


def check_variable(name: str) -> str:
    """*name* if it can be the variable that a key is lent in; `UsageError` otherwise."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name):
        raise UsageError(
            f"`{safe_line(without_keys(name))[:80]}` cannot be the name of a variable",
            hint="--env takes a name such as OPENAI_API_KEY",
        )
    if _NO_KEY_VARIABLES.fullmatch(name):
        raise UsageError(f"`{name}` is not for a key", hint="--env takes a name such as OPENAI_API_KEY")
    return name


def environment(environ: Mapping[str, str], *, variable: str, key: Secret, base_url: str) -> dict[str, str]:
    """*environ* with *key* in *variable*, and with *base_url* where the same programs look for one.

    Every other variable that is known to hold a key, or to say where one goes, is left out, and so is what leads
    to the master key. An empty *key* is in none.
    """
    child = {name: value for name, value in child_environment(environ).items() if name not in _REMOVED}
    child.pop(variable, None)
    if text := key.reveal():
        child[variable] = text
    return child | dict.fromkeys(_PLACES.get(variable, ()), base_url)


def rules_of(group: Group) -> list[str]:
    """The rules of the group that hold only where raptchat itself asks, named as they are set."""
    policy = group.policy
    rules = {
        "models": bool(policy.models),
        "zdr": policy.zdr,
        "deny-training": policy.deny_training,
        "max-cost": policy.max_cost is not None,
        "no-history": policy.no_history,
        "budget": group.budget is not None,
    }
    return [name for name, is_set in rules.items() if is_set]


def lend(
    factory: Factory,
    group: Group,
    environ: Mapping[str, str],
    *,
    variable: str,
    despite_rules: bool = False,
) -> Loan:
    """The environment of a program that gets the group's key in *variable*.

    `PolicyError` for a group with rules, which another program does not keep, unless *despite_rules*; also raises
    what `check_variable`, `require_active` and `open_key` do.
    """
    check_variable(variable)
    credentials = CredentialService(factory)
    credential = credentials.require_active(group)
    rules = rules_of(group)
    if rules and not despite_rules:
        raise PolicyError(
            f"group `{group.name}` has rules that another program does not keep: {', '.join(rules)}",
            hint="--no-rules lends its key all the same",
            group=group.name,
            rules=rules,
        )
    key = credentials.open_key(credential)
    return Loan(
        credential, environment(environ, variable=variable, key=key, base_url=credentials.url_of(credential))
    )


def book(factory: Factory, group: Group, credential: Credential) -> None:
    """Write down that the key was lent, and used, now."""
    with factory.store.write():
        CredentialService(factory).update_last_used(credential.id)
        factory.store.ledger.note(
            "credential.lend", caller=factory.caller, group=group, credential_id=credential.id
        )
