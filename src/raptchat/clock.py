"""The time, in the one form that the store and JSON use."""

from datetime import UTC, datetime


def utc_now() -> str:
    """The time as UTC ISO 8601 to the microsecond, such as `2026-11-22T09:30:00.000000Z`."""
    return datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
