"""SVG pictures as tests look at them: texts and shapes in the coordinates of the page."""

import re
from typing import NamedTuple
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


class Text(NamedTuple):
    """A line of text and the box that it fills, its width estimated from the count of its characters."""

    words: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other):
        return (
            self.left < other.right - 0.5
            and other.left < self.right - 0.5
            and self.top < other.bottom - 0.5
            and other.top < self.bottom - 0.5
        )


class Picture:
    """A parsed picture."""

    def __init__(self, svg):
        self.root = ElementTree.fromstring(svg)
        _, _, self.wide, self.high = map(float, self.root.get("viewBox").split())
        self.texts, self.corners = [], []
        self._walk(self.root, 0.0, 0.0)

    @property
    def words(self):
        return [text.words for text in self.texts]

    def _walk(self, element, dx, dy):
        if shift := element.get("transform"):
            x, y = map(float, re.fullmatch(r"translate\((\S+) (\S+)\)", shift).groups())
            dx, dy = dx + x, dy + y
        kind = element.tag.removeprefix(SVG)
        if kind == "text":
            self._text(element, dx, dy)
        elif kind == "rect":
            x, y, wide, high = (float(element.get(name)) for name in ("x", "y", "width", "height"))
            self.corners += [(dx + x, dy + y), (dx + x + wide, dy + y + high)]
        elif kind == "polygon":
            pairs = (point.split(",") for point in element.get("points").split())
            self.corners += [(dx + float(x), dy + float(y)) for x, y in pairs]
        for child in element:
            self._walk(child, dx, dy)

    def _text(self, element, dx, dy):
        size, words = float(element.get("font-size")), element.text
        wide = len(words) * size * (0.6 if element.get("font-weight") else 0.55)
        x, y = dx + float(element.get("x")), dy + float(element.get("y"))
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[element.get("text-anchor", "start")]
        self.texts.append(Text(words, left, y - 0.78 * size, left + wide, y + 0.22 * size))


def sound(svg):
    """The picture of a text that is well formed, lets no two lines overlap, and keeps within its page."""
    picture = Picture(svg)
    rows = sorted(picture.texts, key=lambda text: text.top)
    for index, text in enumerate(rows):
        assert 0 <= text.left < text.right <= picture.wide, text
        assert 0 <= text.top < text.bottom <= picture.high, text
        for other in rows[index + 1 :]:
            if other.top > text.bottom:
                break
            assert not text.overlaps(other), (text, other)
    assert all(0 <= x <= picture.wide and 0 <= y <= picture.high for x, y in picture.corners)
    return picture
