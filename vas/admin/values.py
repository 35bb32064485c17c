"""What requests carry, parsed once: ids, numbers, times, pages; and the frame of every model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from vas.admin import store
from vas.errors import Invalid
from vas.messages import Msisdn
from vas.store.ids import first_id, milliseconds

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII).fullmatch


class Model(BaseModel):
    """What is sent or received; the docstrings of its fields are their descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def written_as(form: str) -> WrapValidator:
    """Says the form to whoever did not keep to it, in the place of a pattern."""

    def check(spelled: object, checked: ValidatorFunctionWrapHandler) -> Any:
        try:
            return checked(spelled)
        except ValidationError:
            raise ValueError(form) from None

    return WrapValidator(check)


def _digits(spelled: str) -> str:
    try:
        return Msisdn.parse(spelled).digits
    except Invalid:
        raise ValueError from None


def _instant(spelled: object) -> object:
    if not isinstance(spelled, str) or not _INSTANT(spelled):
        raise ValueError("must be a time with its zone, such as 2026-11-22T14:27:45Z")
    return spelled


def _known(spelled: str) -> str:
    return str(min(int(spelled), store.LAST_ID))


Id = Annotated[
    str, Field(pattern=r"^[0-9]{1,19}$"), AfterValidator(_known), written_as("must be an id, of digits only")
]
"""A 63-bit id in decimal digits; one too large for that is the largest, which nothing has."""
Number = Annotated[
    str,
    Field(pattern=r"^[0-9+ .()/-]{3,24}$"),
    AfterValidator(_digits),
    written_as("must be a subscriber's number, such as 0912345678 or +84912345678"),
]
Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
_NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
Line = Annotated[
    str, Field(pattern=_NO_CONTROLS, max_length=200), written_as("must be one line, of at most 200 characters")
]
"""Text without line breaks."""
Reason = Annotated[
    str,
    Field(pattern=_NO_CONTROLS, min_length=3, max_length=200),
    written_as("must be one line, of 3 to 200 characters"),
]


class HasId(Protocol):
    @property
    def id(self) -> int: ...


Found = TypeVar("Found", bound=HasId)


class IdPath(Model):
    id: Id


class Reveal(Model):
    """Whether numbers and texts are wanted in full: needs personal:read, and is written down."""

    reveal: bool = False
    """Show numbers in full, and the texts of messages; needs personal:read, and is audited."""
    reason: Line = ""
    """Why they are revealed: kept in the audit."""


class Page(Model):
    """A page of what is sorted by time, newest first."""

    since: Instant | None = None
    """From this time on."""
    until: Instant | None = None
    """Up to, and without, this time."""
    limit: int = Field(default=50, ge=1, le=200)
    """Items on a page."""
    cursor: Id | None = None
    """`next` of the page before."""

    def span(self) -> store.Span:
        """One more than the limit, which tells whether a page follows."""
        below = store.LAST_ID if self.until is None else _first_id(self.until)
        if self.cursor is not None:
            below = min(below, int(self.cursor))
        return store.Span(0 if self.since is None else milliseconds(self.since), below, self.limit + 1)

    def cut(self, found: Sequence[Found]) -> tuple[Sequence[Found], str | None]:
        """The items of the page, and the cursor of the following one, if there is one."""
        items = found[: self.limit]
        return items, str(items[-1].id) if len(found) > self.limit else None


def _first_id(moment: datetime) -> int:
    return min(first_id(milliseconds(moment)), store.LAST_ID)
