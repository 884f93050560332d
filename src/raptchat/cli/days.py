"""Days, as flags name them."""

from datetime import UTC, date, datetime

from raptchat.errors import UsageError
from raptchat.outside import safe_line


def day(text: str, option: str) -> date:
    """The day that *text* names, such as `2026-11-01`; `UsageError` says which *option* is wrong."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise UsageError(f"`{option}` must be a day such as 2026-11-01: `{safe_line(text)}`") from None
