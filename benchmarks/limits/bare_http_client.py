"""The least that streams a reply without any package: URL KEY MODEL PROMPT."""

import http.client
import json
import sys
from urllib.parse import urlsplit

url, key, model, prompt = sys.argv[1:]
form = {"model": model, "stream": True, "messages": [{"role": "user", "content": prompt}]}
headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
connection.request("POST", urlsplit(url).path + "/chat/completions", json.dumps(form), headers)
for line in connection.getresponse():
    if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
        for choice in json.loads(line[6:])["choices"]:
            sys.stdout.write(choice["delta"]["content"])
            sys.stdout.flush()
connection.close()
