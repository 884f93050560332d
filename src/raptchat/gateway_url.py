"""Where a key may be sent: gateway URLs, checked and compared."""

import ipaddress
import re
from urllib.parse import urlsplit

from raptchat.outside import without_keys

# The whole of it: urlsplit takes what stands in brackets for the host, whatever stands before them.
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?")


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
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("is not an https:// URL")
    if port == 0 or not _AUTHORITY.fullmatch(parts.netloc) or (":" in host and not _is_address(host)):
        raise ValueError("has no valid host and port")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError("must be https: plain http is for loopback addresses only")
    return f"{parts.scheme}{url[len(parts.scheme) :]}".rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether *url* names `localhost` or a loopback address literal."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def origin(url: str) -> str:
    """The scheme, host and port of *url*, in one spelling (RFC 6454, section 4)."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}:{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def without_user_info(text: str) -> str:
    """*text* to be shown: what stands before the `@` of a URL is a secret, as a key is."""
    return without_keys(re.sub(r"(?<=//).*@", "***@", text))
