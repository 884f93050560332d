"""Where a key may be sent: gateway URLs, checked and compared."""

import ipaddress
import re
from urllib.parse import urlsplit

from raptchat.outside import without_keys

# RFC 1123, section 2.1, and RFC 1035, section 2.3.4.
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# The whole of it: urlsplit takes what stands in brackets for the host, whatever stands before them.
_AUTHORITY = re.compile(
    rf"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>{_LABEL}(\.{_LABEL})*))(:[0-9]{{1,5}})?", re.ASCII | re.IGNORECASE
)
# At the end of a name it makes an address of it (WHATWG URL, "ends in a number checker").
_NUMBER = re.compile("[0-9]+|0x[0-9a-f]*", re.IGNORECASE)


def check_gateway_url(url: str) -> str:
    """*url* without trailing slashes, if a key may be sent there; `ValueError` says why not.

    That is `https`, or `http` to `localhost` or a loopback address, and none of the parts of a URL that make
    two programs read it differently (user info, query, fragment, backslash, white space; WHATWG URL against
    RFC 3986).
    """
    if any(character in " \\" or not character.isprintable() for character in url):
        raise ValueError("holds white space, a control character or a backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if "@" in parts.netloc:
        raise ValueError("holds a user name or a password")
    if "?" in url or "#" in url:
        raise ValueError("holds a query or a fragment")
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError("is not an https:// URL")
    if port == 0 or not _is_authority(parts.netloc):
        raise ValueError("has no valid host and port")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError("must be https: plain http is for loopback addresses only")
    return f"{parts.scheme}{url[len(parts.scheme) :]}".rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether *url*, which `check_gateway_url` lets through, names `localhost` or a loopback address literal."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> str:
    """The scheme, host and port of *url*, in one spelling (RFC 6454, section 4)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}:{port}"


def _is_authority(text: str) -> bool:
    """Whether *text* is a host that all programs read alike, with or without a port."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return False
    address, name = found["address"], found["name"]
    try:
        if address:
            ipaddress.IPv6Address(address)  # urlsplit does so only since Python 3.11.4
        elif _NUMBER.fullmatch(name.rpartition(".")[2]):
            ipaddress.IPv4Address(name)
        elif "xn--" in name.lower():
            import idna

            idna.decode(name)
    except ValueError:
        return False
    return True


def without_user_info(text: str) -> str:
    """*text* to be shown: what stands before the `@` of a URL is a secret, as a key is."""
    return without_keys(re.sub(r"^([a-z]+://)?.*@", r"\1***@", text, flags=re.DOTALL | re.IGNORECASE))
