"""The error of the project's own complaints, which tells them from the errors of the libraries below."""


class InputError(ValueError):
    """What a user gave does not do: the message names the field or file, the value and what is allowed.

    The command line prints it as one line. Every other error, a ValueError of a library too, keeps its traceback.
    """


class DivergedError(InputError):
    """A training whose loss or gradients stopped being finite: the message names step, network and fields to change."""


class MissingDataError(InputError):
    """Data are not where they were said to be. A command that can be told of another place adds how."""
