"""What the ledger says that a key has cost, beside what the gateway counted for it."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

from raptchat.clock import utc_now
from raptchat.factory import Factory
from raptchat.key_checks import KeyCheck, check_all
from raptchat.providers.key_info import KeyInfo
from raptchat.records import Credential, Period

# What the ledger can tell apart.
_NANO_DOLLAR = Decimal("1E-9")
_EXACT = Context(prec=100)


class Window(NamedTuple):
    """What a key cost from the day *since* on (UTC): at the *gateway*, which may not say it, and *here*.

    *here* is the sum of what is known of it, whichever group it paid for; the costs of *unknown_costs* requests
    are not. US dollars.
    """

    period: Period
    since: date
    gateway: Decimal | None
    here: Decimal
    unknown_costs: int

    @property
    def difference(self) -> Decimal | None:
        """How much more the gateway counted, to the nano-dollar: the ledger keeps no less."""
        if self.gateway is None or not self.gateway.is_finite():
            return None
        counted = self.gateway.quantize(_NANO_DOLLAR, rounding=ROUND_HALF_EVEN, context=_EXACT)
        return _EXACT.subtract(counted, self.here)


class Reconciled(NamedTuple):
    """A key and its windows, none where the gateway did not answer.

    It came into the store at the time *added_at*; *sharing* groups have this very key too.
    """

    check: KeyCheck
    windows: tuple[Window, ...]
    added_at: str
    sharing: tuple[str, ...]


def reconcile(
    factory: Factory,
    credentials: Sequence[Credential],
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Reconciled]:
    """Ask the gateway what it counted for the key of each of *credentials*, and sum up what was booked to it.

    *progress* is told how many of how many have answered. What is wrong with one key is its check's *problem*;
    what opening the vault or the store raises is raised.
    """
    checks = check_all(factory, credentials, progress=progress)
    # Only now: a request that was booked while the gateway was asked is counted there.
    today = date.fromisoformat(utc_now()[:10])
    names = {group.id: group.name for group in factory.store.groups.all()}
    return [_reconciled(factory, check, today, names) for check in checks]


def _reconciled(factory: Factory, check: KeyCheck, today: date, names: dict[str, str]) -> Reconciled:
    # The gateway counts a key as one, however often it was added here.
    this = check.credential
    others = factory.store.credentials.with_fingerprint(this.key_fingerprint)
    same = [this, *(one for one in others if one.id != this.id and one.endpoint == this.endpoint)]
    groups = {one.group_id for one in same} - {check.group.id}
    return Reconciled(
        check,
        _windows(factory, same, check.info, today),
        min(one.created_at for one in same),
        tuple(sorted(names[group_id] for group_id in groups if group_id in names)),
    )


def _windows(
    factory: Factory, same: Sequence[Credential], info: KeyInfo | None, today: date
) -> tuple[Window, ...]:
    if info is None:
        return ()
    # As the gateway's windows: UTC, weeks begin on Monday (OpenRouter API reference, "Get current API key").
    begun: tuple[tuple[Period, date, Decimal | None], ...] = (
        ("day", today, info.usage_daily),
        ("week", today - timedelta(days=today.weekday()), info.usage_weekly),
        ("month", today.replace(day=1), info.usage_monthly),
    )
    windows = []
    for period, since, gateway in begun:
        rows = [
            row
            for one in same
            for row in factory.store.ledger.report(
                [],
                group_id=one.group_id,
                credential_id=one.id,
                since=since.isoformat(),
                until=f"{today.isoformat()}\U0010ffff",
            )
        ]
        here = sum((row.cost for row in rows if row.cost is not None), Decimal(0))
        windows.append(Window(period, since, gateway, here, sum(row.unknown_costs for row in rows)))
    return tuple(windows)
