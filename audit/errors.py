"""The two ways a command can fail that are not bugs."""


class InputError(ValueError):
    """The user's input is wrong: one line that says what, where, how many, what to do. Exit 2."""


class MachineError(RuntimeError):
    """The machine failed (disk, memory): one line that says while doing what. Exit 4."""
