"""Lines of the ledger, as tests book them."""

from raptchat.records import Booking, Usage
from raptchat.store import Store


def booking(usage: Usage, **changes: str | None) -> Booking:
    """A request of group `g1` with *usage*; *changes* are its other fields."""
    values: dict[str, str | None] = {
        "group_id": "g1",
        "group_name": "biology",
        "session_id": "s1",
        "credential_id": "c1",
        "provider": "openrouter",
        "model": "a/b",
        "os_user": "me",
        "generation_id": None,
        "finish_reason": "stop",
        "created_at": "2026-11-22T09:30:00.000000Z",
        **changes,
    }
    return Booking(usage=usage, **values)  # type: ignore[arg-type]


def book(store: Store, *bookings: Booking) -> None:
    """Write them into the ledger of *store*, in one transaction."""
    with store.write():
        for one in bookings:
            store.ledger.book(one)
