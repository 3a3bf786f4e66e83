"""Copying between open files, as cheaply as the disk can."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator

BLOCK = 256 * 1024
_WORTH_A_HOLE = 64 * 1024
_ZEROS = bytes(4 * BLOCK)
_FICLONE = 0x40049409
_CANNOT = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EBADF, errno.EPERM}


def copy(source: int, target: int, size: int) -> int:
    """Copy the `size` bytes of one open file into another, empty one, as cheaply as the disk can; tells how many there were."""
    if size > BLOCK:
        for way in (_clone, _copy_range, _send):
            try:
                return way(source, target, size)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                os.lseek(target, 0, os.SEEK_SET)
    return _copy_blocks(source, target, size)


def _clone(source: int, target: int, size: int) -> int:
    fcntl.ioctl(target, _FICLONE, source)
    return os.lseek(target, 0, os.SEEK_END) if size else 0


def _copy_range(source: int, target: int, size: int) -> int:
    """Only what is no hole."""
    size, done = min(size, os.fstat(source).st_size), 0
    for begin, end in _written(source, size):
        done = begin
        while done < end and (count := os.copy_file_range(source, target, min(end - done, 1 << 30), done, done)):
            done += count
        if done < end:
            return done
    if done < size:
        os.ftruncate(target, size)
    return size


def _written(source: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the bytes of a file begin and end between its holes."""
    end = 0
    while end < size:
        try:
            begin = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        end = min(size, os.lseek(source, begin, os.SEEK_HOLE))
        if begin < size:
            yield begin, end


def append(descriptor: int, data: bytes | bytearray | memoryview, size: int) -> None:
    """Write `data` at the end of an open file of `size` bytes; a block of zeros becomes a hole."""
    if len(data) >= _WORTH_A_HOLE and _ZEROS.startswith(data):
        os.ftruncate(descriptor, size + len(data))
        os.lseek(descriptor, 0, os.SEEK_END)
    else:
        write_all(descriptor, data)


def _send(source: int, target: int, size: int) -> int:
    done = 0
    while done < size and (count := os.sendfile(target, source, done, min(size - done, 1 << 30))):
        done += count
    return done


def _copy_blocks(source: int, target: int, size: int) -> int:
    done = 0
    while done < size and (block := os.pread(source, min(size - done, BLOCK), done)):
        write_all(target, block)
        done += len(block)
    return done


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of `data`, however many calls that takes."""
    count = os.write(descriptor, data)
    if count < len(data):
        rest = memoryview(data)
        while count < len(rest):
            count += os.write(descriptor, rest[count:])
