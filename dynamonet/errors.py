"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Something the user can mend: one sentence that names the file or key and says what to do.

    The command line prints it without a traceback and exits with status 2.
    """
