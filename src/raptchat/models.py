"""`Models`: which models a group can use, as its gateway lists them and as that is remembered."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from raptchat import model_cache
from raptchat.clients import get_ai_client
from raptchat.clock import utc_now
from raptchat.credentials import CredentialService
from raptchat.errors import AuthenticationFailedError, GatewayError, InsufficientCreditError, UsageError
from raptchat.factory import Factory
from raptchat.model_cache import Remembered
from raptchat.naming import add_key_command
from raptchat.outside import safe_line
from raptchat.records import Attachment, Group, Model, RetryChunk

# A list is waited for by a person who asked for nothing else.
_TIMEOUT_SECONDS = 30.0
_MOST_SUGGESTED = 3
# Likeness takes time by the product of two lengths, and a list may hold thousands of names; real ones are shorter.
_LONGEST_ALIKE = 80


@dataclass(frozen=True, slots=True)
class Listing:
    """The models of a group as of *fetched_at*; *problem* is why they are not as of now."""

    models: list[Model]
    fetched_at: str
    problem: GatewayError | None = None


class Models:
    """Knows the models of each group. Only `fetch`, and `listing` when it has to, use the network.

    What is remembered holds for the credential that it was asked for with, and for no other.
    """

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._credentials = CredentialService(factory)

    def listing(
        self, group: Group, *, refresh: bool = False, retrying: Callable[[RetryChunk], None] = lambda _: None
    ) -> Listing:
        """The group's models: as remembered if that is less than a day old, else as the gateway says now.

        Where it does not say, what is remembered is better than nothing, unless *refresh* asks for now or the key
        was refused. Raises what `fetch` does.
        """
        remembered = None if refresh else self._remembered(group.id)
        if remembered is not None and remembered.is_fresh:
            return Listing(remembered.models, remembered.fetched_at)
        try:
            return Listing(self.fetch(group, retrying=retrying), utc_now())
        except AuthenticationFailedError:
            raise
        except GatewayError as error:
            if remembered is None:
                raise
            return Listing(remembered.models, remembered.fetched_at, error)

    def fetch(self, group: Group, *, retrying: Callable[[RetryChunk], None] = lambda _: None) -> list[Model]:
        """What the gateway lists for the group's key now; it is remembered, where the disk takes it.

        *retrying* is told before each wait for another attempt. Raises `AiNotConfiguredError` when the group has
        no key, what opening it raises, the `GatewayError` that fits, or `InsufficientCreditError`.
        """
        provider = self._credentials.provider_of(group)
        timeout = min(_TIMEOUT_SECONDS, self._factory.settings.timeout_seconds)
        client, credential_id = get_ai_client(group.id, provider, factory=self._factory, timeout=timeout)
        try:
            with client:
                models = client.list_models(retrying=retrying)
        except AuthenticationFailedError as error:
            credential = self._factory.store.credentials.get(credential_id)
            error.hint = add_key_command(group.name, replace=True, like=credential)
            error.fields["group"] = group.name
            raise
        path = self._factory.settings.paths.models_file(group.id)
        with suppress(OSError):
            model_cache.write(path, Remembered(credential_id, utc_now(), models))
        return models

    def cached(self, group_id: str) -> list[Model]:
        """The models as remembered, however old; none where nothing is."""
        remembered = self._remembered(group_id)
        return remembered.models if remembered is not None else []

    def offered(self, group: Group, names: Sequence[str], *, ask: bool = True) -> list[Model | None]:
        """What the list says of each of *names*, `None` where that is nothing; an old list is better than none.

        Only when one of them is missing, and the list is not of today, is the gateway asked, unless not to *ask*;
        when it does not answer, it stays missing.
        """
        found = _found(self.cached(group.id), names)
        if ask and None in found:
            with suppress(GatewayError, InsufficientCreditError):
                found = _found(self.listing(group).models, names)
        return found

    def nearest(self, group_id: str, text: str) -> list[str]:
        """The remembered models and the aliases that *text* most likely means: three at most, the best first."""
        return nearest([*self._factory.settings.aliases, *(model.id for model in self.cached(group_id))], text)

    def check_attachments(self, group_id: str, model: str, attachments: Iterable[Attachment]) -> None:
        """`UsageError` for an attachment that *model* is known not to take.

        Known is what a list says that is less than a day old. Text goes as text, and of a PDF the gateway makes
        text where the model does not take it.
        """
        media = [attachment for attachment in attachments if attachment.kind in {"image", "audio"}]
        remembered = self._remembered(group_id) if media else None
        if remembered is None or not remembered.is_fresh:
            return
        meant = _meant(remembered.models, self._factory.settings.model_named(model))
        takes = meant.input_modalities if meant is not None else ()
        for attachment in media:
            if takes and attachment.kind not in takes:
                raise UsageError(
                    f"the model `{safe_line(model)}` takes no {attachment.kind} files:"
                    f" `{safe_line(attachment.name)}`",
                    hint=_others(remembered.models, attachment.kind, author=model.partition("/")[0]),
                )

    def _remembered(self, group_id: str) -> Remembered | None:
        remembered = model_cache.read(self._factory.settings.paths.models_file(group_id))
        group = self._factory.store.groups.get(group_id) if remembered is not None else None
        if remembered is None or group is None:
            return None
        credential = self._credentials.get_active_for_group(group_id, self._credentials.provider_of(group))
        current = credential is not None and credential.id == remembered.credential_id
        return remembered if current else None


def nearest(names: Iterable[str], text: str) -> list[str]:
    """Those of *names* that *text* most likely means: three at most, the best first."""
    wanted = text.casefold()
    # An id is `author/model`, and the author is what is left out and forgotten.
    spellings: dict[str, str] = {}
    for name in names:
        folded = name.casefold()
        spellings.setdefault(folded, name)
        spellings.setdefault(folded.rpartition("/")[2], name)
    holding = sorted((spelling for spelling in spellings if wanted in spelling), key=len) if wanted else []
    comparable = (spelling for spelling in spellings if len(spelling) <= _LONGEST_ALIKE)
    alike = difflib.get_close_matches(wanted[:_LONGEST_ALIKE], comparable, n=2 * _MOST_SUGGESTED, cutoff=0.6)
    return list(dict.fromkeys(spellings[spelling] for spelling in [*holding, *alike]))[:_MOST_SUGGESTED]


def _meant(models: Iterable[Model], wanted: str) -> Model | None:
    """The model that the gateway would take for *wanted*, where the list says so."""
    # What these stand for is decided by the gateway, for each request.
    if wanted.startswith(("~", "openrouter/")) or "@" in wanted:
        return None
    by_id = {model.id: model for model in models}
    # Behind the colon is how it is served (`:nitro`), unless the list has it as a model (`:free`).
    return by_id.get(wanted) or by_id.get(wanted.rpartition(":")[0])


def _found(models: Iterable[Model], names: Iterable[str]) -> list[Model | None]:
    by_id = {model.id: model for model in models}
    return [by_id.get(name) or by_id.get(name.partition(":")[0]) for name in names]


def _others(models: Iterable[Model], kind: str, *, author: str) -> str:
    others = [model.id for model in models if kind in model.input_modalities]
    others.sort(key=lambda other: other.partition("/")[0] != author)
    return f"choose one that does: {', '.join(others[:_MOST_SUGGESTED])}" if others else ""
