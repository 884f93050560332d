"""A slot's secret from a passphrase: what it costs, and which costs are refused."""

import hashlib
import subprocess
import sys

import pytest

from raptchat.errors import DecryptionFailedError
from raptchat.vault.argon2 import Argon2Costs, secret_from_passphrase


@pytest.mark.parametrize("name", ["memory", "passes", "lanes"])
@pytest.mark.parametrize("value", [0, -1, 2**31, 1.5, "3", None, [3]])
def test_impossible_costs_are_refused(name: str, value: object) -> None:
    with pytest.raises(DecryptionFailedError, match=f"^the passphrase slot asks for impossible costs: {name}$"):
        Argon2Costs.read({**Argon2Costs().as_params(), name: value})


@pytest.mark.parametrize(
    ("memory", "passes", "lanes", "problem"),
    [(2**20 + 1, 1, 1, "memory"), (2**20, 17, 16, "passes"), (2**20, 16, 17, "lanes"), (31, 1, 4, "memory")],
)
def test_costs_just_outside_the_limits_are_refused(memory: int, passes: int, lanes: int, problem: str) -> None:
    with pytest.raises(DecryptionFailedError, match=f"^the passphrase slot asks for impossible costs: {problem}$"):
        Argon2Costs.read({"memory": memory, "passes": passes, "lanes": lanes})


def test_costs_at_the_limits_are_taken() -> None:
    assert Argon2Costs.read({"memory": 2**20, "passes": 16, "lanes": 16}) == Argon2Costs(2**20, 16, 16)
    assert Argon2Costs.read({"memory": 32, "passes": 1, "lanes": 4}) == Argon2Costs(32, 1, 4)
    assert Argon2Costs.read(Argon2Costs().as_params()) == Argon2Costs() == Argon2Costs(64 * 1024, 3, 4)


@pytest.mark.parametrize(
    ("lanes", "expected"),
    [
        (1, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"),
        (2, "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"),
    ],
)
def test_a_passphrase_gives_what_the_reference_implementation_of_argon2id_does(lanes: int, expected: str) -> None:
    costs = Argon2Costs(memory=256, passes=2, lanes=lanes)

    assert secret_from_passphrase("password", salt=b"somesalt", costs=costs).hex() == expected


def test_a_passphrase_gives_the_same_secret_for_the_same_salt_and_costs_only() -> None:
    cheap = Argon2Costs(memory=32, passes=1, lanes=4)

    def derived(passphrase: str, salt: bytes = bytes(16), costs: Argon2Costs = cheap) -> bytes:
        return secret_from_passphrase(passphrase, salt=salt, costs=costs)

    assert derived("caf\u00e9") == derived("caf\u00e9")
    assert len(derived("x")) == 32
    others = [derived("cafe"), derived("caf\u00e9", b"0" * 16), derived("caf\u00e9", costs=Argon2Costs(64, 1, 4))]
    assert derived("caf\u00e9") not in others
    assert derived("x") != hashlib.sha256(b"x").digest()


def test_a_machine_without_the_memory_for_a_passphrase_says_so() -> None:
    code = (
        "import resource\n"
        "from raptchat.errors import VaultUnavailableError\n"
        "from raptchat.vault.argon2 import Argon2Costs, secret_from_passphrase\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))\n"
        "try:\n"
        "    secret_from_passphrase('', salt=bytes(16), costs=Argon2Costs(memory=2**20))\n"
        "except VaultUnavailableError as error:\n"
        "    print(error, error.hint, sep='; ')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert done.stdout == (
        "there is not enough memory for the passphrase: it takes 1024 MiB; close other programs and try again\n"
    )
