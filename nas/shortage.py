"""What a machine runs out of, or loses: an error told as "disk full: ...", "out of memory: ..." or "device error: ...".

However it was wrapped.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

DISK = (errno.ENOSPC, errno.EDQUOT)
MEMORY_TEXTS = (
    "can't allocate memory",  # torch on a CPU
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
DEVICE_TEXTS = (
    "CUDA error:",
    "HIP error:",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
)


def disk_full(error: BaseException) -> str | None:
    """Tell it as "disk full: ..." when the error, or one that it was raised from, is of a full disk; else None."""
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in DISK:
            where = f": {each.filename}" if each.filename else ""
            return f"disk full: {each.strerror}{where}"
    return None


def out_of_memory(error: BaseException) -> str | None:
    """Tell it as "out of memory: ..." when the error, or one that it was raised from, is of memory; else None.

    Knows Python's, NumPy's, the system's and torch's (CPU and GPU), and does not import torch for it.
    """
    for each in _chain(error):
        text = str(each)
        if (
            isinstance(each, MemoryError)
            or type(each).__name__ == "OutOfMemoryError"  # torch's, a RuntimeError
            or (isinstance(each, OSError) and each.errno == errno.ENOMEM)
            or (isinstance(each, RuntimeError) and any(known in text for known in MEMORY_TEXTS))
        ):
            return f"out of memory: {text.splitlines()[0] if text else type(each).__name__}"
    return None


def device_failed(error: BaseException) -> str | None:
    """Tell it as "device error: ..." when a GPU or its driver failed under it, and not for want of memory; else None.

    After such an error the GPU's context is dead, and with it all that this process could do there.
    """
    if out_of_memory(error):
        return None
    for each in _chain(error):
        text = str(each)
        if type(each).__name__ == "AcceleratorError" or (
            isinstance(each, RuntimeError) and any(known in text for known in DEVICE_TEXTS)
        ):
            return f"device error: {text.splitlines()[0] if text else type(each).__name__}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
