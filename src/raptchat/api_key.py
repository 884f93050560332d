"""What an API key may look like; the one check for every way that a key comes in."""

from raptchat.errors import UsageError

MAX_LENGTH = 512


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


def _refused(why: str) -> UsageError:
    return UsageError(f"the API key {why}", hint="copy the key again, without anything around it")
