"""Writes the pictures of this folder. Made once with Pillow 13.0.0; nothing here is needed to build or test.

All show four fields of 16 x 16 pixels side by side in the colours below; `turned.jpg` stands on its side and
says so in its EXIF orientation, and has a thumbnail, a JPEG within the JPEG.
"""

import io
import pathlib
import struct

from PIL import Image

FOLDER = pathlib.Path(__file__).parent
COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (230, 230, 230)]

picture = Image.new("RGB", (64, 16))
for index, colour in enumerate(COLOURS):
    picture.paste(colour, (16 * index, 0, 16 * index + 16, 16))


def save(name, image, **options):
    image.save(FOLDER / name, **options)


save("plain.jpg", picture, quality=95)

# With as much black as there can be; Pillow's own conversion uses none.
cmyk = Image.new("CMYK", picture.size)
for index, colour in enumerate(COLOURS):
    most = max(colour)
    ink = tuple(round(255 - 255 * level / most) for level in colour) + (255 - most,)
    cmyk.paste(ink, (16 * index, 0, 16 * index + 16, 16))
save("cmyk.jpg", cmyk, quality=95)

save("progressive.jpg", picture, quality=95, progressive=True)
save("restart.jpg", picture, quality=95, restart_marker_rows=1)
save("palette.png", picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=4), transparency=0)
save("lossy.webp", picture, quality=95)

# Two levels of 16 bits, 8 of which are lost.
row = struct.pack("<H", 0x4080) * 32 + struct.pack("<H", 0xC0FF) * 32
save("grey16.png", Image.frombytes("I;16", (64, 16), row * 16))
save("grey_alpha.png", picture.convert("LA"))

# TIFF header, image 0 with orientation 6, image 1 with the thumbnail.
thumbnail = io.BytesIO()
picture.resize((16, 4)).save(thumbnail, "JPEG")
thumbnail = thumbnail.getvalue()
first = struct.pack("<H HHIHH I", 1, 0x0112, 3, 1, 6, 0, 8 + 18)
second = struct.pack("<H HHII HHII I", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
exif = b"Exif\0\0" + struct.pack("<2sHI", b"II", 42, 8) + first + second + thumbnail
assert len(exif) == 6 + 56 + len(thumbnail)
save("turned.jpg", picture.transpose(Image.Transpose.ROTATE_90), quality=95, exif=exif)
