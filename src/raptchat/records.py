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
Period = Literal["day", "week", "month"]
# What a credential seals: the key itself, the command that prints it, the path of the file that holds it, or, for
# a gateway that asks for no key, nothing.
KeyKind = Literal["key", "command", "file", "none"]


class Policy(NamedTuple):
    """What a group may ask for: each rule as it was set, or not set.

    *models* are patterns of which a model's id must match one, `*` stands for any characters; none allows all.
    *max_cost* is the most that one request may cost, in US dollars. *no_history* keeps no conversation.
    """

    models: tuple[str, ...] = ()
    zdr: bool = False
    deny_training: bool = False
    max_cost: Decimal | None = None
    no_history: bool = False


class Budget(NamedTuple):
    """What a group may spend, in US dollars, in each *period* (UTC; weeks begin on Monday).

    At *warn_percent* of it, whoever spends is told.
    """

    amount: Decimal
    period: Period
    warn_percent: int = 80


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
    policy: Policy = Policy()
    budget: Budget | None = None
    suspended_at: str | None = None


class Credential(NamedTuple):
    """One sealed API key of one group for one provider.

    *base_url* is what the user named, or `None` for the provider's gateway; *endpoint* is the origin that the
    key is sealed for either way. *kind* is what is sealed: where it is no key, *key_hint* says in words what.
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
    kind: KeyKind = "key"

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
    """One request in the ledger: who asked, who pays, and what it took.

    *estimate* is what a budget counts for it, in US dollars, while its cost is not known.
    """

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
    estimate: Decimal | None = None


class BookedRequest(NamedTuple):
    """A request as it stands in the ledger; *group_name* is what its group is called now, or was when it went."""

    id: int
    created_at: str
    group_id: str
    group_name: str
    session_id: str | None
    credential_id: str
    provider: str
    model: str
    generation_id: str | None
    finish_reason: str | None
    usage: Usage


class UnknownCosts(NamedTuple):
    """How many *requests* have no known cost; *nameless* ones have no generation id, *old* ones are too old."""

    requests: int
    nameless: int
    old: int


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


class ManagementKey(NamedTuple):
    """The sealed key with which the keys of an account are managed, at one gateway.

    *endpoint* is the origin of that gateway, which the key is sealed for.
    """

    id: str
    encrypted_key: bytes
    nonce: bytes
    key_id: str
    key_hint: str
    endpoint: str
    created_at: str
    created_by: str

    def __repr__(self) -> str:
        return f"ManagementKey({self.id!r}, key_hint={self.key_hint!r})"


class KeyWork(NamedTuple):
    """Work at a gateway that is not finished, for a group that may be gone.

    *new_name* is what the key that is being made is called there: while it stands here, nobody has that key. The
    key with *old_hash*, the SHA-256 by which the gateway names it, is to go. There is one of the two.
    *proof* is a MAC over the rest under the management key: whoever can write the store's file names no key here.
    """

    id: str
    group_name: str
    endpoint: str
    new_name: str | None
    old_hash: str | None
    created_at: str
    proof: bytes = b""


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
    *expires_on* is the day (ISO 8601) from which it is not offered any more; *max_output* the most tokens of a
    reply.
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
    max_output: int | None = None

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
