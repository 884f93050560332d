"""Which days are summed up."""

from datetime import UTC, date, datetime
from typing import NamedTuple

from raptchat.cli.options import day
from raptchat.errors import UsageError
from raptchat.outside import safe_line


class Period(NamedTuple):
    """The days that are summed up, in UTC, asked for on *today*; without *first* or *last* all on that side."""

    first: date | None
    last: date | None
    today: date
    words: str

    @property
    def since(self) -> str:
        """What no time of it sorts before."""
        return self.first.isoformat() if self.first is not None else ""

    @property
    def until(self) -> str:
        """What sorts behind every time of its last day, and needs no day after it."""
        return (self.last.isoformat() if self.last is not None else "") + "\U0010ffff"


def read_period(
    since: str | None, until: str | None, month: str | None, *, everything: bool, today: date
) -> Period:
    """What the flags say; without any, the month to date. `UsageError` for what is no day or month, or both."""
    named = since is not None or until is not None
    if everything and named:
        raise UsageError("--all goes with neither --since nor --until", hint="leave out --all")
    if month is not None and (everything or named):
        raise UsageError("--month goes with none of --since, --until and --all", hint="leave out --month")
    if everything:
        return Period(None, None, today, "since the first day")
    if month is not None:
        from calendar import monthrange

        first = _first_of(month)
        last = first.replace(day=monthrange(first.year, first.month)[1])
        return Period(first, last, today, f"in {month}{', to date' if first <= today < last else ''} (UTC)")
    if not named:
        # What another machine's clock has put into a month to come is none of this one's.
        return Period(today.replace(day=1), today, today, f"in {today:%Y-%m}, to date (UTC)")
    begin = day(since, "--since") if since is not None else None
    end = day(until, "--until") if until is not None else None
    words = [f"from {begin}"] * (begin is not None) + [f"up to {end}"] * (end is not None)
    return Period(begin, end, today, f"{' '.join(words)} (UTC)")


def _first_of(text: str) -> date:
    try:
        found = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        found = None
    if found is None or f"{found.year:04}-{found.month:02}" != text:
        raise UsageError(f"`--month` must be a month such as 2026-11: `{safe_line(text)[:80]}`") from None
    return found
