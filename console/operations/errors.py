"""What can be wrong with a request: one line each, which says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LIST_TOO_LONG = "the list takes too long: narrow it by a filter such as since, or lower its limit"


class OperationError(Exception):
    """Root. The message is meant for a person."""


class InvalidInput(OperationError):
    """The request is wrong or names something that does not exist; nothing was changed."""


class UnknownName(InvalidInput):
    """A task, queue, backend or expert of that name does not exist."""


class ServiceUnreachable(OperationError):
    """A service that is needed does not answer."""


def near(wanted: str, known: Iterable[str]) -> str:
    """``did you mean mlx?``, else ``write one of a, b, c``; "none is known" for no options."""
    options = sorted(set(known))
    if not options:
        return "none is known"
    by_folded = {option.casefold(): option for option in options}
    close = difflib.get_close_matches(wanted.casefold(), list(by_folded), n=1, cutoff=0.6)
    if close:
        return f"did you mean {by_folded[close[0]]}?"
    choices = ", ".join(options[:12])
    return f"write one of {choices}" + (", ..." if len(options) > 12 else "")
