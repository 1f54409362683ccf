"""Names that could lead out of a folder, and keys that S3 allows and a disk does not."""

NAMES = [
    "..",
    ".",
    "../..",
    "../s3",
    "%2e%2e",
    "..%2f..",
    "%2e%2e%2fs3",
    "%252e%252e",
    "/etc",
    "//etc",
    "a/../..",
    "a/./../../b",
    "..\\..",
    "~",
    "$HOME",
    "a\nb",
    "a\r\nb",
    "a\0b",
    "%00",
    "..;x",
    "..\u200b",
    "\u2025",
    "\uff0e\uff0e",
    "-rf",
    "*",
    "a" * 300,
    "con/../../../../../../tmp/kennel-escaped",
    "../../../../../../../../tmp/kennel-escaped",
    "/opt/ml/../../tmp/kennel-escaped",
    "",
]


def hostile_names() -> list[str]:
    """Return more than 200 names that could lead elsewhere, each in its own way."""
    up = ["..", "../..", "../../..", "..//..", "../.", "./..", ".../.."]
    up += ["..\\..", "..%5c..", "....//"]
    up += ["%2e%2e", "%2e.", ".%2e", "%252e%252e", "%c0%ae%c0%ae", "\uff0e\uff0e", "..\0", "..;"]
    before = ["", "/", "./", "a/", "a/b/../../", "//", "\\", "C:\\", "file://", "\u2215"]
    after = ["", "/", "/x", "/s3", "/records", "%2fs3", "\\s3", "\0.json", "\n"]
    made = [f"{one}{two}{three}" for one in before for two in up for three in after]
    special = [f"a{chr(number)}b" for number in (*range(32), 127, 0x202E, 0x2028, 0xFEFF, 0x200B)]
    special += ["/dev/null", "/proc/self/environ", "/etc/passwd", "~root", "`id`", "$(id)", "|id"]
    # Every seventh, so that all of `before`, `up` and `after` occur.
    return sorted({*NAMES, *special, *made[::7]})


MANY_NAMES = hostile_names()

KEYS = [
    "a%41b",
    "100%",
    "%2e%2e/x",
    "%252F",
    "line\nbreak",
    "tab\there",
    "a/../../b",
    "../x",
    "..",
    ".",
    "trailing/",
    "two//slashes//",
    "/leading",
    " spaces ",
    "plus+and&and=",
    "semi;colon?query#hash",
    "ü/漢字/🐕",
    "a" * 1024,
    "d/" * 512,
    "漢" * 341 + "a",
    "quote'\"<>",
    "back\\slash",
    *(name for name in MANY_NAMES if name and len(name.encode()) <= 1024),
]
KEYS = sorted(set(KEYS))
