"""A slot's secret from a passphrase: Argon2id (RFC 9106)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from raptchat.crypto import KEY_SIZE
from raptchat.errors import DecryptionFailedError, VaultUnavailableError


@dataclass(frozen=True, slots=True)
class Argon2Costs:
    """What one guess at a passphrase costs: *memory* in KiB, passes over it, lanes."""

    memory: int = 64 * 1024
    passes: int = 3
    lanes: int = 4

    @classmethod
    def read(cls, params: Mapping[str, object]) -> "Argon2Costs":
        """The costs in a slot's *params*; refused above 1 GiB, 16 passes or 16 lanes, before any work is done."""
        limits = {"memory": 1024 * 1024, "passes": 16, "lanes": 16}
        values: dict[str, int] = {}
        for name, limit in limits.items():
            value = params.get(name)
            if not isinstance(value, int) or not 1 <= value <= limit:
                raise DecryptionFailedError(f"the passphrase slot asks for impossible costs: {name}")
            values[name] = value
        if values["memory"] < 8 * values["lanes"]:
            raise DecryptionFailedError("the passphrase slot asks for impossible costs: memory")
        return cls(**values)

    def as_params(self) -> dict[str, int]:
        """The costs as a slot keeps them."""
        return asdict(self)


def secret_from_passphrase(passphrase: str, *, salt: bytes, costs: Argon2Costs) -> bytes:
    """A slot's secret of 32 bytes: Argon2id of *passphrase* in UTF-8; `VaultUnavailableError` without the RAM."""
    kdf = Argon2id(
        salt=salt, length=KEY_SIZE, iterations=costs.passes, lanes=costs.lanes, memory_cost=costs.memory
    )
    try:
        return kdf.derive(passphrase.encode())
    except MemoryError:
        raise VaultUnavailableError(
            f"there is not enough memory for the passphrase: it takes {costs.memory // 1024} MiB",
            hint="close other programs and try again",
        ) from None
