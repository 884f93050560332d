"""Every error a user can meet.

RaptchatError                  1  INTERNAL              a bug
  IncompleteReplyError         1  INCOMPLETE_REPLY      the reply was empty or cut short
  SchemaMismatchError          1  SCHEMA_MISMATCH       the reply has not the shape that was asked for
  UsageError                   2  USAGE                 wrong words or flags; invalid setting, name, key
  NoGroupError                 3  NO_GROUP              nothing says which group is meant
  GroupNotFoundError           3  GROUP_NOT_FOUND
  CredentialNotFoundError      3  CREDENTIAL_NOT_FOUND
  SessionNotFoundError         3  SESSION_NOT_FOUND
  AiNotConfiguredError         4  AI_NOT_CONFIGURED     the group has no active credential
  PolicyError                  2  POLICY_REFUSED        outside what the group's rules allow
  InsufficientCreditError      5  INSUFFICIENT_CREDIT   the key's cap or the account's credit
  BudgetExceededError          5  BUDGET_EXCEEDED       the group's own budget, or the most for one request
  DuplicateCredentialError     6  DUPLICATE_CREDENTIAL
  DuplicateGroupError          6  DUPLICATE_GROUP
  SharedKeyError               6  SHARED_KEY            this very key serves another group
  WrongGroupError              6  WRONG_GROUP           a session of another group
  GatewayError                69  GATEWAY_ERROR         network, 5xx
    ModelNotAvailableError    69  MODEL_NOT_AVAILABLE
    InvalidResponseError      69  INVALID_RESPONSE      garbage
    ContentRefusedError       69  CONTENT_REFUSED       moderation
    RateLimitedError          75  RATE_LIMITED
    GatewayTimeoutError       75  TIMEOUT
    AuthenticationFailedError 77  AUTHENTICATION_FAILED the gateway refused the key
  StoreError                  74  STORE_ERROR           unreadable, damaged, newer, disk full
    StoreBusyError            75  STORE_BUSY
    UnconfirmedError          74  STORE_ERROR           changed, but perhaps not for good
  OutputError                 74  OUTPUT_ERROR          what was written to did not take it
  VaultUnavailableError       78  VAULT_UNAVAILABLE     no usable keyring or key
  VaultLockedError            78  VAULT_LOCKED          it is there, and does not open now
  DecryptionFailedError       78  DECRYPTION_FAILED     wrong master key, altered data
  SignalledError             130  INTERRUPTED           Ctrl-C; 143 after SIGTERM
"""

from typing import ClassVar


class RaptchatError(Exception):
    """The base of all of them. *hint* says what to do next, *fields* go into the JSON form."""

    code: ClassVar[str] = "INTERNAL"
    status_code: ClassVar[int] = 500
    exit_code: int = 1

    def __init__(self, message: str, *, hint: str = "", **fields: object) -> None:
        super().__init__(message)
        self.hint = hint
        self.fields = fields


class IncompleteReplyError(RaptchatError):
    """The reply was empty or cut short; what arrived is kept.

    *partial* is the `DoneChunk` of what arrived, where the error comes from a client.
    """

    code, status_code = "INCOMPLETE_REPLY", 502

    def __init__(self, message: str, *, partial: object = None, hint: str = "", **fields: object) -> None:
        super().__init__(message, hint=hint, **fields)
        self.partial = partial


class SchemaMismatchError(RaptchatError):
    """The reply has not the shape that `--schema` asked for; it is kept and was written."""

    code, status_code = "SCHEMA_MISMATCH", 422


class UsageError(RaptchatError):
    """Wrong words or flags, or an invalid setting, name or key."""

    code, status_code, exit_code = "USAGE", 400, 2


class NoGroupError(RaptchatError):
    """Nothing says which group is meant."""

    code, status_code, exit_code = "NO_GROUP", 404, 3


class GroupNotFoundError(RaptchatError):
    """No group, or more than one, goes by this word."""

    code, status_code, exit_code = "GROUP_NOT_FOUND", 404, 3


class CredentialNotFoundError(RaptchatError):
    """No credential, or more than one, goes by this word."""

    code, status_code, exit_code = "CREDENTIAL_NOT_FOUND", 404, 3


class SessionNotFoundError(RaptchatError):
    """No session, or more than one, goes by this word."""

    code, status_code, exit_code = "SESSION_NOT_FOUND", 404, 3


class AiNotConfiguredError(RaptchatError):
    """The group has no active credential for the provider."""

    code, status_code, exit_code = "AI_NOT_CONFIGURED", 424, 4


class PolicyError(RaptchatError):
    """The request is outside what the group's rules allow; nothing was sent."""

    code, status_code, exit_code = "POLICY_REFUSED", 403, 2


class BudgetExceededError(RaptchatError):
    """The request could cost more than the group's budget has left, or than one request may; nothing was sent."""

    code, status_code, exit_code = "BUDGET_EXCEEDED", 402, 5


class InsufficientCreditError(RaptchatError):
    """The key's cap is reached, or the account's credit is used up."""

    code, status_code, exit_code = "INSUFFICIENT_CREDIT", 402, 5


class DuplicateCredentialError(RaptchatError):
    """The group has an active credential for the provider already."""

    code, status_code, exit_code = "DUPLICATE_CREDENTIAL", 409, 6


class DuplicateGroupError(RaptchatError):
    """Another group has this name."""

    code, status_code, exit_code = "DUPLICATE_GROUP", 409, 6


class SharedKeyError(RaptchatError):
    """This very key serves another group."""

    code, status_code, exit_code = "SHARED_KEY", 409, 6


class WrongGroupError(RaptchatError):
    """The session belongs to another group."""

    code, status_code, exit_code = "WRONG_GROUP", 409, 6


class GatewayError(RaptchatError):
    """The gateway could not be reached, or failed."""

    code, status_code, exit_code = "GATEWAY_ERROR", 502, 69


class ModelNotAvailableError(GatewayError):
    """The gateway has no such model, or none that fits the request."""

    code, status_code = "MODEL_NOT_AVAILABLE", 404


class InvalidResponseError(GatewayError):
    """What the gateway sent is not what its protocol says."""

    code, status_code = "INVALID_RESPONSE", 502


class ContentRefusedError(GatewayError):
    """The text was refused by moderation."""

    code, status_code = "CONTENT_REFUSED", 403


class RateLimitedError(GatewayError):
    """Too many requests; `retryAfter` in *fields* is in seconds where it is known."""

    code, status_code, exit_code = "RATE_LIMITED", 429, 75


class GatewayTimeoutError(GatewayError):
    """Nothing came for too long."""

    code, status_code, exit_code = "TIMEOUT", 504, 75


class AuthenticationFailedError(GatewayError):
    """The gateway refused the key."""

    code, status_code, exit_code = "AUTHENTICATION_FAILED", 401, 77


class StoreError(RaptchatError):
    """The store cannot be read or written."""

    code, status_code, exit_code = "STORE_ERROR", 500, 74


class StoreBusyError(StoreError):
    """Another process held the store for too long."""

    code, status_code, exit_code = "STORE_BUSY", 503, 75


class UnconfirmedError(StoreError):
    """The store was changed, but the disk does not say that the change will last."""


class OutputError(RaptchatError):
    """Standard output, or a file, did not take what was written."""

    code, status_code, exit_code = "OUTPUT_ERROR", 500, 74


class VaultUnavailableError(RaptchatError):
    """There is no usable keyring, key file or passphrase."""

    code, status_code, exit_code = "VAULT_UNAVAILABLE", 503, 78


class VaultLockedError(RaptchatError):
    """The vault is there and does not open now."""

    code, status_code, exit_code = "VAULT_LOCKED", 423, 78


class DecryptionFailedError(RaptchatError):
    """The master key is another one, or the data was altered."""

    code, status_code, exit_code = "DECRYPTION_FAILED", 500, 78


class SignalledError(RaptchatError):
    """A signal ended the command; *exit_code* is 128 plus its number."""

    code, status_code, exit_code = "INTERRUPTED", 499, 130

    def __init__(self, message: str = "interrupted", *, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code
