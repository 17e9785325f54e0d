# SPDX-License-Identifier: GPL-3.0-or-later
"""The failures that a user is told about, each with the exit code of the command line."""


class UserError(Exception):
    """Something that the user can mend: one line that says what is wrong and what to do next."""

    exit_code = 1


class Fault(UserError):
    """Something that we did not foresee; the log says more."""


class UsageError(UserError):
    """A setting that makes no sense, for example zero views."""

    exit_code = 2


class Cancelled(Exception):
    """The user stopped the work; whatever was finished before is kept."""

    exit_code = 130


def reason_of(error: OSError) -> str:
    """Why the system refused, as part of a sentence: "permission denied"."""
    return (error.strerror or str(error)).lower()
