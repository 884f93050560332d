"""The least that streams a reply with httpx, which raptchat uses as well: URL KEY MODEL PROMPT [IMAGE]."""

import base64
import json
import sys
from pathlib import Path

import httpx

url, key, model, prompt, *images = sys.argv[1:]
content: object = prompt
if images:
    data = "data:image/png;base64," + base64.b64encode(Path(images[0]).read_bytes()).decode()
    content = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": data}}]
form = {"model": model, "stream": True, "messages": [{"role": "user", "content": content}]}
headers = {"Authorization": f"Bearer {key}"}
with (
    httpx.Client(timeout=60) as client,
    client.stream("POST", f"{url}/chat/completions", headers=headers, json=form) as reply,
):
    for line in reply.iter_lines():
        if line.startswith("data: ") and line != "data: [DONE]":
            for choice in json.loads(line[6:])["choices"]:
                sys.stdout.write(choice["delta"]["content"])
                sys.stdout.flush()
