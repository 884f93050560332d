"""Where a key may be sent, by the name that other chat clients file it under.

Those with an API in OpenAI's style, as aichat (`OPENAI_COMPATIBLE_PROVIDERS` in `src/client/mod.rs`) and fabric
(`ProviderMap` in `internal/plugins/ai/openai_compatible/providers_config.go`) list them. A key of any other
service is of no use here, and none is ever tried at a place that nobody named.
"""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from raptchat.gateway_url import check_gateway_url

OPENROUTER = "openrouter"
COMPATIBLE = "openai-compatible"
_OPENROUTER_PREFIX = "sk-or-"

# `None`: only with a base URL that stands beside the key.
_BASE_URLS = {
    OPENROUTER: "https://openrouter.ai/api/v1",
    COMPATIBLE: None,
    "openai": "https://api.openai.com/v1",
    "anyscale": "https://api.endpoints.anyscale.com/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "deepseek": "https://api.deepseek.com",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "grokai": "https://api.x.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
    "litellm": None,
    "mistral": "https://api.mistral.ai/v1",
    "moonshot": "https://api.moonshot.cn/v1",
    "perplexity": "https://api.perplexity.ai",
    "siliconcloud": "https://api.siliconflow.cn/v1",
    "together": "https://api.together.xyz/v1",
    "xai": "https://api.x.ai/v1",
}


class Place(NamedTuple):
    """Which provider takes a key and where, or why it is of no use.

    Without a *base_url* it is the provider's own gateway.
    """

    provider: str | None
    base_url: str | None = None
    problem: str | None = None


def place_of(service: str, key: str, base_url: str | None) -> Place:
    """The place for *key*, filed under *service*, beside which the file names *base_url* or none."""
    service = re.sub(r"[ _]+", "-", service.lower())
    if key.startswith(_OPENROUTER_PREFIX) and service not in _BASE_URLS:
        service = OPENROUTER
    if service not in _BASE_URLS:
        return Place(None, problem="no gateway that raptchat knows takes it")
    if base_url is None:
        if service == OPENROUTER or key.startswith(_OPENROUTER_PREFIX):
            return Place(OPENROUTER)
        base_url = _BASE_URLS[service]
    if base_url is None:
        return Place(None, problem="no base URL stands beside it")
    try:
        url = check_gateway_url(base_url)
    except ValueError as error:
        return Place(None, problem=f"the base URL beside it {error}")
    is_openrouter = service == OPENROUTER or urlsplit(url).hostname == "openrouter.ai"
    return Place(OPENROUTER if is_openrouter else COMPATIBLE, url)
