"""Requests to the demo gateway, as any HTTP client makes them."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from raptchat.demo import DEMO_KEY, DEMO_MANAGEMENT_KEY, DemoGateway
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import DoneChunk

CHAT = "/api/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "demo/echo", "messages": [{"role": "user", "content": "hello"}], "stream": True}


def post(
    gateway: DemoGateway, body: object, *, key: str | None = DEMO_KEY, path: str = CHAT, method: str = "POST"
) -> tuple[int, dict[str, str], str]:
    """The status, the headers and the text of an answer."""
    connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=10)
    try:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, content, {"Authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def ask(gateway: DemoGateway, model: str, text: str = "hello there") -> DoneChunk:
    """The whole reply of *model*."""
    with OpenRouterClient(api_key=DEMO_KEY, base_url=gateway.url) as client:
        return client.complete_chat(
            [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}], model=model
        )


def api(
    gateway: DemoGateway, method: str, path: str, body: object = b"", key: str | None = DEMO_MANAGEMENT_KEY
) -> tuple[int, Any]:
    """The status and the JSON of an answer of the API."""
    status, _, text = post(gateway, body, key=key, path=f"/api/v1{path}", method=method)
    return status, json.loads(text)
