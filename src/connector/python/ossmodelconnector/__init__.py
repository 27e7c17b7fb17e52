"""Objects in OSS as files, prefetched into memory at once in the order they are opened."""

from ._connector import ObjectInfo, OssModelConnector
from ._errors import OssError

__all__ = ["ObjectInfo", "OssError", "OssModelConnector"]
