"""The nouns ("model" already means something else here).

They are named tuples, which Python defines in a quarter of the time of a dataclass, and every command waits for
that; the pieces of a reply are dataclasses, so that a text never equals a thought. What is sealed or large is left
out where one of them is printed.

Times are UTC ISO 8601 ending in `Z`; money is `Decimal` US dollars; what is not known is `None`, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant"]
State = Literal["complete", "incomplete", "failed"]
AttachmentKind = Literal["image", "pdf", "audio", "text"]
# What a request waits for until the reply begins: the connection, the gateway, the model's host (it keeps alive).
Progress = Literal["connecting", "waiting", "processing"]


class Group(NamedTuple):
    """Who pays, and who owns the conversation."""

    id: str
    name: str
    description: str | None
    model: str | None
    system_prompt: str | None
    provider: str | None
    created_at: str
    updated_at: str


class Credential(NamedTuple):
    """One sealed API key of one group for one provider.

    *base_url* is what the user named, or `None` for the provider's gateway; *endpoint* is the origin that the
    key is sealed for either way.
    """

    id: str
    group_id: str
    provider: str
    encrypted_key: bytes
    nonce: bytes
    key_id: str
    key_hint: str
    key_fingerprint: str
    label: str | None
    base_url: str | None
    endpoint: str
    is_active: bool
    created_at: str
    updated_at: str
    last_used_at: str | None
    created_by: str

    def __repr__(self) -> str:
        return f"Credential({self.id!r}, key_hint={self.key_hint!r})"


class Session(NamedTuple):
    """One conversation; it belongs to one group for ever."""

    id: str
    group_id: str
    title: str | None
    model: str | None
    system_prompt: str | None
    created_at: str
    last_used_at: str


class Attachment(NamedTuple):
    """A file that goes with a message: *media_type* is that of its content, *hash* its SHA-256 in hexadecimal.

    *size* is in bytes; *content* is `None` where the file is only listed, not sent.
    """

    name: str
    media_type: str
    hash: str
    size: int
    content: bytes | None = None

    def __repr__(self) -> str:
        return f"Attachment({self.name!r}, {self.media_type!r}, size={self.size})"

    @property
    def kind(self) -> AttachmentKind:
        """What a model takes it for."""
        if self.media_type == "application/pdf":
            return "pdf"
        family = self.media_type.partition("/")[0]
        return "image" if family == "image" else "audio" if family == "audio" else "text"


class Message(NamedTuple):
    """One turn of a session, numbered by *seq* from 1.

    *reasoning* is what the model thought before it answered; *reasoning_details* is the same as the gateway's
    blocks, in JSON, to be sent back unchanged.
    """

    role: Role
    content: str
    seq: int = 0
    state: State = "complete"
    model: str | None = None
    created_at: str = ""
    reasoning: str | None = None
    reasoning_details: str | None = None
    attachments: tuple[Attachment, ...] = ()


class SessionSummary(NamedTuple):
    """A session as a list shows it: with how many messages it has, and what it cost.

    *cost* is what is known of it, in US dollars; *unknown_costs* counts the requests left out of it.
    """

    session: Session
    messages: int
    cost: Decimal | None
    unknown_costs: int


class FoundMessage(NamedTuple):
    """A message that was searched for; every other piece of *excerpt*, from the second on, is a hit."""

    session_id: str
    group_id: str
    group_name: str
    title: str | None
    seq: int
    role: Role
    created_at: str
    excerpt: tuple[str, ...]


class Citation(NamedTuple):
    """A page that a reply rests on."""

    url: str
    title: str | None = None


class Usage(NamedTuple):
    """The tokens and the cost of one request, as far as the gateway named them."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: Decimal | None = None


class Booking(NamedTuple):
    """One request in the ledger: who asked, who pays, and what it took."""

    group_id: str
    group_name: str
    session_id: str | None
    credential_id: str
    provider: str
    model: str
    os_user: str
    generation_id: str | None
    finish_reason: str | None
    usage: Usage
    created_at: str = ""


class Event(NamedTuple):
    """What was done to a credential, or to a group with its credentials: by which command, and by whom."""

    created_at: str
    action: str
    command: str
    os_user: str
    host: str
    group_id: str | None
    group_name: str | None
    credential_id: str | None


class UsageRow(NamedTuple):
    """A line of the usage report: one combination of what was asked for, summed.

    The sums are over what is known; *unknown_tokens* and *unknown_costs* count the requests left out of them.
    """

    keys: Mapping[str, str | None]
    requests: int
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost: Decimal | None
    unknown_tokens: int
    unknown_costs: int


class TrailStep(NamedTuple):
    """A data key of before, wrapped for its slot; *succession* is its word for the one that came after it."""

    key_id: str
    wrapped_key: bytes
    succession: bytes

    def __repr__(self) -> str:
        return f"TrailStep({self.key_id!r})"


class Slot(NamedTuple):
    """One way to open the vault: the data key, wrapped for *public_key*.

    *params* holds what finds or derives the slot's secret (the keyring's class, a path, a salt and its costs)
    and never the secret. *trail* leads from the data key that *proof* is of to the one in use; it is empty where
    they are the same.
    """

    id: str
    kind: str
    state: Literal["pending", "active", "dying"]
    key_id: str | None
    public_key: bytes | None
    wrapped_key: bytes | None
    proof: bytes | None
    params: Mapping[str, object]
    created_at: str
    trail: tuple[TrailStep, ...] = ()

    def __repr__(self) -> str:
        return f"Slot({self.id!r}, {self.kind!r}, {self.state!r})"


class VaultKey(NamedTuple):
    """What the store knows of its data key: which one it is, and how to tell that it is the right one."""

    id: str
    check_value: bytes
    slots_mac: bytes

    def __repr__(self) -> str:
        return f"VaultKey({self.id!r})"


class Model(NamedTuple):
    """A model that a gateway offers; an empty tuple says nothing of what it takes.

    *input_price* and *output_price* are for a million tokens, *request_price* for each request beside them.
    *expires_on* is the day (ISO 8601) from which it is not offered any more.
    """

    id: str
    name: str
    created_at: str | None = None
    context_length: int | None = None
    input_modalities: tuple[str, ...] = ()
    input_price: Decimal | None = None
    output_price: Decimal | None = None
    request_price: Decimal | None = None
    supported_parameters: tuple[str, ...] = ()
    expires_on: str | None = None

    @property
    def is_free(self) -> bool:
        """Whether it is known to cost nothing."""
        return self.input_price == self.output_price == 0 and not self.request_price


class Start(NamedTuple):
    """The gateway began to answer; *model* and *generation_id* are what it said so far."""

    model: str | None
    generation_id: str | None


class RetryChunk(NamedTuple):
    """Nothing came yet and the request is sent again after *seconds*; *reason* says why, for a person."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ContentChunk:
    """A piece of the reply's text, as it arrived."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningChunk:
    """A piece of what the model thought before it answered."""

    text: str


class DoneChunk(NamedTuple):
    """The end of a reply: all of its text, what it took, and what came with it."""

    content: str
    usage: Usage
    model: str
    finish_reason: str | None
    generation_id: str | None = None
    credential_id: str | None = None
    reasoning: str = ""
    reasoning_details: str | None = None
    citations: tuple[Citation, ...] = ()


Chunk = RetryChunk | ContentChunk | ReasoningChunk | DoneChunk
