"""Why a file could not be read or written, in words, with what to do."""

import errno

_PERMISSION, _PATH = "check its permissions", "check the path"
_DISK = "free some of the disk"
_CURES = {
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.ENOENT: _PATH,
    errno.ENOTDIR: _PATH,
    errno.EISDIR: _PATH,
    errno.EEXIST: _PATH,
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EROFS: "give a folder that can be written",
    errno.ENOSPC: _DISK,
    errno.EDQUOT: _DISK,
    errno.EFBIG: "give a folder on another file system",
    errno.EIO: "check the disk",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def explained(error: OSError) -> str | None:
    """Return the file, what is wrong with it, and the cure; None if the error is of no file."""
    cure = _CURES.get(error.errno or 0)
    if cure is None or not (error.filename or cure == _DISK):
        return None
    named = [str(name) for name in (error.filename, error.filename2) if name]
    return ": ".join([" and ".join(named) or "a file", str(error.strerror), cure])
