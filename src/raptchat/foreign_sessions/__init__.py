"""Conversations that another chat client keeps: read from its log, and taken over as sessions of a group."""

from typing import NamedTuple

from raptchat.records import Message


class Conversation(NamedTuple):
    """One conversation of another client's; *id* names it wherever that client's log is copied to."""

    id: str
    title: str | None
    model: str | None
    system: str | None
    messages: tuple[Message, ...]

    def __repr__(self) -> str:
        return f"Conversation({self.id!r}, messages={len(self.messages)})"
