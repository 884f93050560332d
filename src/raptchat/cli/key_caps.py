"""What a key at the gateway may cost, how often that counts anew, and until when: flags and words for it."""

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Annotated

import typer

from raptchat.cli.documents import Document, money
from raptchat.cli.options import amount, day
from raptchat.errors import UsageError
from raptchat.outside import safe_line

if TYPE_CHECKING:
    from raptchat.providers.key_info import KeyCaps, KeyInfo

# As the gateway calls them (OpenRouter API reference, "API Keys").
RESETS = ("daily", "weekly", "monthly")

LimitOption = Annotated[
    str | None,
    typer.Option("--limit", metavar="AMOUNT", help="The most that the key may cost, in dollars, such as 5."),
]
ResetOption = Annotated[
    str | None,
    typer.Option(metavar="EACH", help="When the cap counts from 0 again: daily, weekly or monthly, UTC."),
]
ExpiresOption = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="The key's last day (UTC), such as 2027-06-30, or 2027-06-30T12:00:00Z."),
]


def key_caps(limit: str | None, reset: str | None, expires: str | None, *, names: str = "--") -> "KeyCaps":
    """The caps in these words; `UsageError` for one that cannot be right, calling it by *names* in front."""
    from raptchat.providers.key_info import KeyCaps

    if reset is not None and limit is None:
        raise UsageError(f"`{names}reset` needs a `{names}limit`", hint="without a cap nothing counts anew")
    return KeyCaps(
        limit=None if limit is None else amount(limit, f"{names}limit"),
        limit_reset=None if reset is None else reset_word(reset, f"{names}reset"),
        expires_at=None if expires is None else _end(expires, f"{names}expires"),
    )


def reset_word(text: str, option: str, *, also: tuple[str, ...] = ()) -> str:
    """One of `RESETS`, or *also*; `UsageError` says which *option* is wrong."""
    word = text.strip().lower()
    if word not in (*RESETS, *also):
        raise UsageError(f"`{option}` must be one of {', '.join((*RESETS, *also))}: `{safe_line(text)[:80]}`")
    return word


def in_short(caps: "KeyCaps | KeyInfo") -> str:
    """What a key may cost, in words such as `at most $5.00 monthly, until 2027-06-30T23:59:59Z`."""
    from raptchat.store.money import in_words

    most = "without a cap" if caps.limit is None else f"at most {in_words(caps.limit)}"
    each = f" {caps.limit_reset}" if caps.limit is not None and caps.limit_reset else ""
    return f"{most}{each}" + (f", until {caps.expires_at}" if caps.expires_at else "")


def document(caps: "KeyCaps | KeyInfo") -> Document:
    """The caps for `--json`."""
    return {"limit": money(caps.limit), "limitReset": caps.limit_reset, "expiresAt": caps.expires_at}


def _end(text: str, option: str) -> str:
    wanted = text.strip()
    if "T" in wanted.upper():
        try:
            moment = datetime.fromisoformat(wanted)
        except ValueError:
            moment = None
        if moment is None or moment.utcoffset() is None or moment.utcoffset():
            raise UsageError(
                f"`{option}` must be a day or a time in UTC such as 2027-06-30T12:00:00Z: `{safe_line(text)[:80]}`"
            )
    else:
        moment = datetime.combine(day(wanted, option), time(23, 59, 59), UTC)
    if moment <= datetime.now(UTC):
        raise UsageError(f"`{option}` is in the past: `{safe_line(text)[:80]}`", hint="days end at 24:00 UTC")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
