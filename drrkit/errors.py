"""The one error that bad input raises: it says where, what was found and what was wanted."""


class InputError(ValueError):
    """Bad input from outside: a file, a matrix, a parameter.

    The command line prints the message as one line and exits with code 2.

    Args:
        where: The file, field or argument at fault.
        found: What stands there.
        wanted: What would have been right, or how to mend it.
    """

    def __init__(self, where: object, found: object, wanted: object) -> None:
        self.where = str(where)
        self.found = str(found)
        self.wanted = str(wanted)
        super().__init__(f"{self.where}: found {self.found}; wanted {self.wanted}")

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str]]:
        # Exceptions cross process borders by their args; ours has three, not the joined message.
        return (InputError, (self.where, self.found, self.wanted))
