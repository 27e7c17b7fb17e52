"""Failures that a server tells, as the exceptions that fit them."""

import errno
import io


class OssError(OSError):
    """OSS, or the way there, has not given what was asked of it; the message names the object and the answer."""

    def __init__(self, message, code="CONNECTOR_FAILED"):
        super().__init__(errno.EIO, message)
        self.code = code

    def __str__(self):
        return self.strerror


WRONG_ARGUMENT = {"CONNECTOR_CONFIG", "CONNECTOR_ENDPOINT", "CONNECTOR_URI", "CONNECTOR_DIRECTORY", "CONNECTOR_CLOSED"}


def exception_of(error):
    """`error` as the server sends it: {"code", "message"}."""
    code, message = error["code"], error["message"]
    if code == "CONNECTOR_NOT_FOUND":
        return FileNotFoundError(errno.ENOENT, message)
    if code == "CONNECTOR_MEMORY":
        return MemoryError(message)
    if code == "CONNECTOR_TOO_LARGE":
        return io.UnsupportedOperation(message)
    if code in WRONG_ARGUMENT:
        return ValueError(message)
    return OssError(message, code)
