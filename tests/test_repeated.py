"""What is written again and again while a reply comes in."""

from raptchat.errors import StoreError
from raptchat.repeated import Repeated


def test_what_cannot_be_written_again_ends_its_thread() -> None:
    tries = []

    def write() -> None:
        tries.append(1)
        raise StoreError("gone")

    with Repeated(write, 0.001, name="again") as repeated:
        repeated.start()
        repeated._thread.join(10)
    assert tries == [1]
