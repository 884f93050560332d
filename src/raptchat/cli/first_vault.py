"""The vault of a store that has none yet, where a person may have to say how it is kept."""

from raptchat.cli.invocation import Invocation
from raptchat.errors import UsageError, VaultUnavailableError


def ensure_vault(run: Invocation) -> bool:
    """See to it that there is a vault; whether it was made just now.

    Where there is no keyring a person at the terminal is offered the other ways; everybody else gets the error.
    """
    vault = run.factory.vault
    if vault.exists():
        vault.ensure()
        return False
    try:
        vault.ensure()
    except VaultUnavailableError as error:
        if vault.exists() or not (run.person_present and run.terminal.in_is_tty):
            raise
        run.terminal.say(str(error), "The master key can be kept elsewhere: [f] a key file, [p] a passphrase.")
        match run.answer("Which? [f/p/N] "):
            case "f":
                path = run.factory.settings.paths.config_file.with_name("master.key")
                try:
                    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                except OSError as failed:
                    raise UsageError(
                        f"the folder `{path.parent}` cannot be made: {failed.strerror}",
                        hint="raptchat vault init --file PATH",
                    ) from None
                vault.init("file", path=path)
                run.terminal.say(f"the master key is in {path}: whoever has it and the store has the keys")
            case "p":
                vault.init("passphrase")
            case _:
                raise
    return True
