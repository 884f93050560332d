"""What an API key may look like, in the one check for every way that one comes in, and what is shown of it."""

from raptchat.errors import UsageError
from raptchat.secret import Secret

MAX_LENGTH = 512
_SHORTEST_HINTED = 21


def check_api_key(text: str) -> str:
    """*text* without surrounding white space, if it can be a key; `UsageError` says why not, never the text.

    Any printable ASCII will do: gateways other than OpenRouter have keys of other forms.
    """
    key = text.strip()
    if not key:
        raise UsageError("the API key is empty", hint="paste the whole key, such as `sk-or-v1-...`")
    if len(key) > MAX_LENGTH:
        raise _refused(f"is longer than {MAX_LENGTH} characters")
    if any(character.isspace() for character in key):
        raise _refused("holds white space")
    if not key.isascii():
        raise _refused("holds a character that is not ASCII")
    if not key.isprintable():
        raise _refused("holds a control character")
    return key


def hint_of(secret: Secret) -> str:
    """The first 8 and the last 4 characters of a key; of a short one none."""
    text = secret.reveal()
    return f"{text[:8]}...{text[-4:]}" if len(text) >= _SHORTEST_HINTED else "***"


def _refused(why: str) -> UsageError:
    return UsageError(f"the API key {why}", hint="copy the key again, without anything around it")
