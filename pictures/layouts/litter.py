"""Files and folders that tools leave among pictures. They are passed over wherever they are."""

import fnmatch
import re
from pathlib import PurePath

# In lower case. `*` stands for anything, as in a shell.
_PATTERNS = (
    ".*",  # .DS_Store, ._1.jpg, .ipynb_checkpoints, .git, .cache, .Trashes, .directory
    "__macosx",  # macOS's zip files
    "icon\r",
    "thumbs.db",  # Windows
    "ehthumbs*.db",
    "desktop.ini",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "*zone.identifier",  # 1.jpg:Zone.Identifier; WSL writes another character for the colon
    "lost+found",  # Linux
    "*~",
    "@eadir",  # Synology, QNAP
    "@recycle",
    "#recycle",
    "#snapshot",
    "*_$folder$",  # Hadoop's folders in S3
    "_success",
    "picasa.ini",
    "__pycache__",
    "*.crdownload",  # downloads that were not finished
    "*.part",
    "manifest.json",  # of `kennel data upload`
)
_LITTER = re.compile("|".join(map(fnmatch.translate, _PATTERNS)))


def is_litter(name: str) -> bool:
    """Whether a tool left a file or folder of this name there; `name` has no slash."""
    return bool(_LITTER.match(name.lower()))


def lies_in_litter(path: PurePath) -> bool:
    """Whether the file is litter or in a folder that is; `path` is relative to the photos."""
    return any(map(is_litter, path.parts))
