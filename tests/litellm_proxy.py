"""A real LiteLLM proxy, from the environment that `RAPTCHAT_LITELLM` names: the path of its `litellm`.

It runs with what docs/teams.md shows. Its models answer with mock responses, or ask the demo gateway, and it calls
nobody else: all that it would send into the network comes to a socket that only notes who came.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gateway_process

from raptchat.demo import DEMO_KEY, DemoGateway

MASTER_KEY = "sk-litellm-0123456789-sentinel"
SAID = "Four legs good, two legs bad."

_MOCKED = {
    "capped": f'mock_response: "{SAID}", max_budget: 0.000000001, budget_duration: 1d',
    "unpriced": f'mock_response: "{SAID}", model: openai/nobody-knows-its-price',
    "busy": 'mock_response: "litellm.RateLimitError"',
    "full": 'mock_response: "litellm.ContextWindowExceededError"',
    "broken": 'mock_response: "litellm.InternalServerError"',
}


@dataclass(frozen=True, slots=True)
class LiteLlmProxy:
    """Where it listens, and what stands for the network."""

    port: int
    network: socket.socket

    @property
    def url(self) -> str:
        """The base URL, as for `--base-url`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def called_somebody(self) -> bool:
        """Whether it tried to reach anybody but its models' hosts."""
        try:
            self.network.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@contextmanager
def running(config: str, folder: Path) -> Iterator[LiteLlmProxy]:
    """The proxy with *config*, whose models answer with `SAID`, and with models of the tests' own."""
    program = gateway_process.program("RAPTCHAT_LITELLM", "gateways")
    with DemoGateway() as upstream, socket.create_server(("127.0.0.1", 0)) as network:
        network.setblocking(False)
        nowhere = f"http://127.0.0.1:{network.getsockname()[1]}"
        path = folder / "config.yaml"
        path.write_text(_with_models(config, upstream.url))
        environ = {
            "LITELLM_MASTER_KEY": MASTER_KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "ALL_PROXY": nowhere,
            "NO_PROXY": "127.0.0.1",
        }

        def command(port: int) -> list[str]:
            words = [program, "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
            return [*words, "--telemetry", "False"]

        with gateway_process.serving(command, ready="/health/liveliness", folder=folder, environ=environ) as port:
            yield LiteLlmProxy(port, network)


def _with_models(config: str, upstream: str) -> str:
    mocked = config.replace("litellm_params:\n", f'litellm_params:\n      mock_response: "{SAID}"\n')
    more = [f"  - {{model_name: {name}, litellm_params: {{{_params(text)}}}}}\n" for name, text in _MOCKED.items()]
    for name, key in {"reasoning": DEMO_KEY, "json": DEMO_KEY, "reply": "sk-of-somebody-else"}.items():
        params = f"model: openai/demo/{name}, api_key: {key}, api_base: {upstream}"
        more.append(f"  - {{model_name: demo-{name}, litellm_params: {{{params}}}}}\n")
    # It waits before it tries again.
    return mocked.replace("model_list:\n", "model_list:\n" + "".join(more)) + "router_settings: {num_retries: 0}\n"


def _params(text: str) -> str:
    model = "" if "model:" in text else "model: openai/gpt-4o-mini, "
    return f"{model}api_key: none, {text}"
