"""How a picture lies in its file: container, bands, bits, and the turn that its EXIF asks for.

Read from the header alone, beside the decoded pixels (W3C, Portable Network Graphics, 11.2.1;
ITU-T T.81, B.2.2; CIPA DC-008, Exif 2.32, tag 274).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from PIL import Image

__all__ = ["Form", "exif_orientation", "form_of"]

_PNG_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGBA"}
_JPEG_KINDS = {1: "grey", 3: "RGB", 4: "CMYK"}
_CONTAINERS = {
    b"II": "TIFF",
    b"MM": "TIFF",
    b"GI": "GIF",
    b"BM": "BMP",
    b"RI": "WebP",
}
_ORIENTATION = 274
_HEAD = 1 << 17
# SOF0 … SOF15 without DHT, JPG and DAC, which share their range.
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}


@dataclass(frozen=True, slots=True)
class Form:
    """How pictures are stored, and as what they are read.

    Attributes:
        stored: such as "JPEG, RGB, 8 bits".
        bands: of the array that is read.
        dtype: of that array.
    """

    stored: str
    bands: int
    dtype: str


def form_of(content: bytes, image: NDArray[Any]) -> Form:
    """The form of a file that was read as `image`, `[H, W, B]`."""
    bands, dtype = image.shape[2], str(image.dtype)
    if content[:4] == b"\x89PNG" and len(content) > 25:
        kind = _PNG_KINDS.get(content[25], "colour")
        return Form(f"PNG, {kind}, {_bits(content[24])}", bands, dtype)
    if content[:2] == b"\xff\xd8":
        return Form(f"JPEG, {_jpeg_kind(content)}", bands, dtype)
    container = _CONTAINERS.get(content[:2], "picture")
    many = "s" * (bands != 1)
    return Form(f"{container}, read as {bands} band{many}, {dtype}", bands, dtype)


def exif_orientation(content: bytes) -> int:
    """1 … 8 as EXIF numbers them; 1, upright, where the file says nothing that can be read."""
    head = content[:_HEAD]
    start = head.find(b"Exif\0\0")
    if start < 0:
        chunk = head.find(b"eXIf") if head[:4] == b"\x89PNG" else -1
        if chunk < 0:
            return 1
        block = b"Exif\0\0" + head[chunk + 4 :]
    else:
        block = head[start:]
    try:
        tags = Image.Exif()
        tags.load(block)
        value = tags.get(_ORIENTATION, 1)
    except Exception:
        # Broken EXIF around sound pixels is common, and Pillow raises whatever comes up.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _bits(number: int) -> str:
    return f"{number} bit{'s' * (number != 1)}"


def _jpeg_kind(content: bytes) -> str:
    """Colours and bits of the first frame header."""
    place = 2
    while place + 10 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in _FRAMES:
            kind = _JPEG_KINDS.get(content[place + 9], "colour")
            return f"{kind}, {_bits(content[place + 4])}"
        if marker == 0xFF:
            place += 1
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return "colour"
