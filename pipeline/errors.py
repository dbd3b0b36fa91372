"""The one exception that means: the input is wrong, and the person can mend it."""

from __future__ import annotations


class UserError(Exception):
    """Bad input: one clear line that names the value, the limit and the remedy.

    Jobs print it as ``error: <message>`` and exit with status 2, without a traceback.
    """


def first_line(error: BaseException) -> str:
    """What an error says, in one line; the name of its class when it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
