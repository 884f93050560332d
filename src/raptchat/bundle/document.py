"""A bundle as the JSON document that is encrypted, and back.

Version 1 is one object: `format`, `version`, `createdAt`, `groups` (each with its `credentials`, and its
`sessions` where they were asked for) and `files`, which holds each attachment's content once, in base64 by its
SHA-256. What belongs to a group stands in it and messages stand in their order, so that nothing can point to what
is not there. A group has `policy`, `budget` and `suspendedAt` only where they are set; a credential that is no key
has its `kind`, and as `reference` the command or the path.

Who made the file is not known when it is read: it is taken as it is, or refused.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from typing import NoReturn

from raptchat import attachments, naming
from raptchat.api_key import check_api_key
from raptchat.bundle import Bundle, BundledGroup, BundledKey, BundledSession
from raptchat.bundle.fields import Fields, refused
from raptchat.bundle.rules import read_budget, read_policy, write_budget, write_policy
from raptchat.config import check_model
from raptchat.credentials.key_reference import check_reference
from raptchat.errors import UsageError
from raptchat.gateway_url import check_gateway_url, origin
from raptchat.providers import DEFAULT_PROVIDER, check_base_url, check_known
from raptchat.providers.request import MOST_ATTACHED_BYTES
from raptchat.records import Attachment, Group, KeyKind, Message, Policy, Session
from raptchat.secret import Secret
from raptchat.store.groups import name_key

FORMAT, VERSION = "raptchat bundle", 1

# Each value but the first of its object or array stands behind a comma. Small ones take twenty times as much
# memory as text: a file that is made of them must not fill the machine's.
_MOST_VALUES = 5_000_000
# Without its closing quote, too: else each quote of a hostile text would be looked for one from there to the end.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

Document = dict[str, object]


def write(bundle: Bundle) -> bytes:
    """*bundle* as ASCII text, in which its keys are readable."""
    files: dict[str, str] = {}
    document = {
        "format": FORMAT,
        "version": VERSION,
        "createdAt": bundle.created_at,
        "groups": [_group(one, files) for one in bundle.groups],
        "files": files,
    }
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def read(data: bytes) -> Bundle:
    """The bundle that `write` made *data* of; `UsageError` says where it is none, and never quotes a key."""
    document = Fields(_parsed(data), "")
    if document.text("format") != FORMAT:
        refused("format", f"is not `{FORMAT}`")
    if (version := document.number("version")) != VERSION:
        raise UsageError(
            f"the bundle is of version {str(version)[:20]}, and known here is {VERSION}", hint="upgrade raptchat"
        )
    files = _files(document.nested("files"))
    bundle = Bundle(
        document.time("createdAt"), tuple(_read_group(one, files) for one in document.all_nested("groups"))
    )
    document.end()
    _refuse_duplicates(bundle)
    return bundle


def _parsed(data: bytes) -> object:
    if sum(map(_STRING.sub(b"", data).count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise UsageError("this is no bundle: it holds more values than one has")
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_object, parse_constant=_no_number, parse_float=_no_number
        )
    except (ValueError, RecursionError):
        raise UsageError("this is no bundle: what is in it is no JSON document of one") from None


def _object(pairs: list[tuple[str, object]]) -> Document:
    found = dict(pairs)
    if len(found) != len(pairs):  # two programs would read two different things
        raise ValueError("a name stands twice in an object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _group(bundled: BundledGroup, files: dict[str, str]) -> Document:
    group = bundled.group
    rules: Document = {}
    if group.policy != Policy():
        rules["policy"] = write_policy(group.policy)
    if group.budget is not None:
        rules["budget"] = write_budget(group.budget)
    if group.suspended_at is not None:
        rules["suspendedAt"] = group.suspended_at
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "model": group.model,
        "system": group.system_prompt,
        "provider": group.provider,
        "createdAt": group.created_at,
        "updatedAt": group.updated_at,
        **rules,
        "credentials": [_key(one) for one in bundled.keys],
        "sessions": [_session(one, files) for one in bundled.sessions],
    }


def _read_group(fields: Fields, files: Mapping[str, bytes]) -> BundledGroup:
    group = Group(
        id=fields.uuid("id"),
        name=fields.checked("name", naming.check_name),
        description=fields.optional_text("description"),
        model=fields.optional("model", check_model),
        system_prompt=fields.optional_text("system"),
        provider=fields.optional("provider", _known_provider),
        created_at=fields.time("createdAt"),
        updated_at=fields.time("updatedAt"),
        policy=read_policy(fields.nested("policy")) if fields.has("policy") else Policy(),
        budget=read_budget(fields.nested("budget")) if fields.has("budget") else None,
        suspended_at=fields.time("suspendedAt") if fields.has("suspendedAt") else None,
    )
    keys = tuple(_read_key(one) for one in fields.all_nested("credentials"))
    active = [key.provider for key in keys if key.is_active]
    if len(set(active)) < len(active):
        refused(fields.at("credentials"), "holds two active keys for one provider")
    sessions = tuple(_read_session(one, group.id, files) for one in fields.all_nested("sessions"))
    fields.end()
    return BundledGroup(group, keys, sessions)


def _key(key: BundledKey) -> Document:
    sealed = key.api_key.reveal()
    what: Document = {"apiKey": sealed} if key.kind == "key" else {"kind": key.kind}
    if key.kind in {"command", "file"}:
        what["reference"] = sealed
    return {
        "id": key.id,
        "provider": key.provider,
        **what,
        "label": key.label,
        "baseUrl": key.base_url,
        "endpoint": key.endpoint,
        "isActive": key.is_active,
        "createdAt": key.created_at,
        "createdBy": key.created_by,
        "lastUsedAt": key.last_used_at,
    }


def _read_key(fields: Fields) -> BundledKey:
    kind: KeyKind = fields.one_of("kind", "command", "file", "none") if fields.has("kind") else "key"
    key = BundledKey(
        id=fields.uuid("id"),
        provider=fields.checked("provider", _known_provider),
        api_key=_read_sealed(fields, kind),
        kind=kind,
        label=fields.optional_text("label"),
        base_url=fields.optional("baseUrl", check_gateway_url),
        endpoint=fields.checked("endpoint", _checked_origin),
        is_active=fields.flag("isActive"),
        created_at=fields.time("createdAt"),
        created_by=fields.text("createdBy"),
        last_used_at=fields.optional_time("lastUsedAt"),
    )
    # A key that says one host and goes to another.
    if key.base_url is not None and origin(key.base_url) != key.endpoint:
        refused(fields.at("endpoint"), "is not where `baseUrl` is")
    if kind == "none" and key.provider == DEFAULT_PROVIDER:
        refused(fields.at("kind"), "is not for this provider, which asks for a key")
    try:
        check_base_url(key.provider, key.base_url)
    except UsageError:
        refused(fields.at("baseUrl"), "is not there")
    fields.end()
    return key


def _read_sealed(fields: Fields, kind: KeyKind) -> Secret:
    match kind:
        case "key":
            return Secret(fields.checked("apiKey", check_api_key))
        case "none":
            return Secret("")
        case _:
            return Secret(fields.checked("reference", lambda text: check_reference(kind, text)))


def _session(bundled: BundledSession, files: dict[str, str]) -> Document:
    session = bundled.session
    return {
        "id": session.id,
        "title": session.title,
        "model": session.model,
        "system": session.system_prompt,
        "createdAt": session.created_at,
        "lastUsedAt": session.last_used_at,
        "messages": [_message(one, files) for one in bundled.messages],
    }


def _read_session(fields: Fields, group_id: str, files: Mapping[str, bytes]) -> BundledSession:
    session = Session(
        id=fields.uuid("id"),
        group_id=group_id,
        title=fields.optional_text("title"),
        model=fields.optional_text("model"),
        system_prompt=fields.optional_text("system"),
        created_at=fields.time("createdAt"),
        last_used_at=fields.time("lastUsedAt"),
    )
    messages = enumerate(fields.all_nested("messages"), start=1)
    found = BundledSession(session, tuple(_read_message(one, seq, files) for seq, one in messages))
    fields.end()
    return found


def _message(message: Message, files: dict[str, str]) -> Document:
    for one in message.attachments:
        if one.hash not in files:
            assert one.content is not None  # `taking_out` reads them with it
            files[one.hash] = base64.b64encode(one.content).decode()
    return {
        "role": message.role,
        "content": message.content,
        "state": message.state,
        "model": message.model,
        "reasoning": message.reasoning,
        "reasoningDetails": message.reasoning_details,
        "createdAt": message.created_at,
        "attachments": [
            {"name": one.name, "mediaType": one.media_type, "hash": one.hash} for one in message.attachments
        ],
    }


def _read_message(fields: Fields, seq: int, files: Mapping[str, bytes]) -> Message:
    message = Message(
        role=fields.one_of("role", "system", "user", "assistant"),
        content=fields.text("content"),
        seq=seq,
        state=fields.one_of("state", "complete", "incomplete", "failed"),
        model=fields.optional_text("model"),
        created_at=fields.time("createdAt"),
        reasoning=fields.optional_text("reasoning"),
        reasoning_details=fields.optional_text("reasoningDetails"),
        attachments=tuple(_read_attachment(one, files) for one in fields.all_nested("attachments")),
    )
    fields.end()
    return message


def _read_attachment(fields: Fields, files: Mapping[str, bytes]) -> Attachment:
    content = files.get(fields.text("hash"))
    if content is None:
        refused(fields.at("hash"), "is of none of the `files`")
    # What a browser or a mail program saves it as, one day, must not be a path.
    name = fields.text("name").rpartition("/")[2]
    media_type = fields.text("mediaType")
    try:
        found = attachments.from_bytes(content, name, most_bytes=MOST_ATTACHED_BYTES, media_type=media_type)
    except UsageError as error:
        refused(fields.path, f"cannot be what it is: {error}")
    fields.end()
    return found


def _files(fields: Fields) -> Mapping[str, bytes]:
    found = {}
    for number, (name, value) in enumerate(fields.rest().items()):
        place = fields.at(str(number))
        if not isinstance(value, str):
            refused(place, "is not a text")
        try:
            content = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            refused(place, "is not in base64")
        if hashlib.sha256(content).hexdigest() != name:
            refused(place, "has not the content that its name says")
        found[name] = content
    return found


def _refuse_duplicates(bundle: Bundle) -> None:
    things = {
        "groups have one name": [name_key(one.group.name) for one in bundle.groups],
        "groups have one id": [one.group.id for one in bundle.groups],
        "credentials have one id": [key.id for one in bundle.groups for key in one.keys],
        "sessions have one id": [each.session.id for one in bundle.groups for each in one.sessions],
    }
    for problem, found in things.items():
        if len(set(found)) < len(found):
            refused("groups", f"is damaged: two {problem}")


def _known_provider(text: str) -> str:
    check_known(text)
    return text


def _checked_origin(text: str) -> str:
    if origin(check_gateway_url(text)) != text:
        raise ValueError("is no origin")
    return text
