"""Why a picture cannot be used. The messages are written for the person who sent it."""


class ImageError(ValueError):
    """A picture that cannot be used; the message is written for the person who sent it."""


class UnreadableImage(ImageError):
    """Not a picture, or a damaged one."""


class UnsupportedImage(ImageError):
    """A picture in a format or pixel type that Kennel does not read."""


class OversizeImage(ImageError):
    """More pixels or scans than allowed; found before pixels are decoded."""
