"""What works that are killed leave in the Secret Service, and putting it back."""

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

ATTRIBUTES = {"application": "Python keyring library", "username": "raptchat"}


def reachable() -> bool:
    """Whether there is one at all."""
    return Path(os.environ.get("DBUS_SESSION_BUS_ADDRESS", "").removeprefix("unix:path=")).is_socket()


def found() -> dict[str, str]:
    """The secret of each entry of raptchat, by its service's name."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        items = secretstorage.get_default_collection(bus).search_items(ATTRIBUTES)
        return {item.get_attributes()["service"]: item.get_secret().decode() for item in items}


def put_back(wanted: Mapping[str, str]) -> None:
    """Make the entries what they were."""
    import secretstorage

    present = found()
    if wanted == present:
        return
    with closing(secretstorage.dbus_init()) as bus:
        collection = secretstorage.get_default_collection(bus)
        for service in present.keys() - wanted.keys():
            for item in collection.search_items({**ATTRIBUTES, "service": service}):
                item.delete()
        for service, secret in wanted.items():
            if present.get(service) != secret:
                attributes = {**ATTRIBUTES, "service": service}
                collection.create_item(service, attributes, secret.encode(), replace=True)
