"""What can go wrong, with what to do about it."""


class ConfigError(Exception):
    """A setting or the database's schema does not fit; one line for the person who starts us."""


class ServiceError(Exception):
    """A request that cannot be served: HTTP status, sentence, and a hint for the caller."""

    status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidRequestError(ServiceError):
    """The request is not what the endpoint takes."""

    status = 422


class NotFoundError(ServiceError):
    """There is no such thing."""

    status = 404


class ConflictError(ServiceError):
    """The thing is not in a state that allows this."""

    status = 409


class TooLargeError(ServiceError):
    """More bytes, pixels, pages or pictures than we take."""

    status = 413


class UnsupportedTypeError(ServiceError):
    """Neither a PDF nor one of the picture formats."""

    status = 415


class UnreadableError(ServiceError):
    """The bytes are damaged, hostile, or took more time or memory than we give."""

    status = 422


class BusyError(ServiceError):
    """All places are taken; try again later. Not a failure of an extraction."""

    status = 503


class DatabaseError(ServiceError):
    """The database did not do what we asked."""

    status = 503
