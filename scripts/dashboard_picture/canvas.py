"""A sheet measured in pixels from its upper left corner, with the colours and letters of a dashboard."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Rectangle

DPI = 100
_WANTED_FONTS = ("Inter", "Roboto", "Noto Sans", "Liberation Sans", "Arial", "DejaVu Sans")


@dataclass(frozen=True)
class Theme:
    """Colours of everything that is no data."""

    page: str
    panel: str
    border: str
    text: str
    faint: str
    grid: str
    track: str
    link: str


THEMES = {
    "dark": Theme("#111217", "#181b1f", "#2a2d33", "#d5d7e0", "#9196a1", "#26292e", "#2b2e34", "#6e9fff"),
    "light": Theme("#f4f5f5", "#ffffff", "#e0e2e5", "#24292e", "#6b7280", "#eceef0", "#e9ebee", "#1f62e0"),
}


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float

    def inner(self, left: float, top: float, right: float, bottom: float) -> Box:
        """What is left within margins."""
        return Box(self.x + left, self.y + top, self.width - left - right, self.height - top - bottom)


class Canvas:
    """A sheet of `width` by `height` pixels to draw on; `scale` makes all of it larger and finer."""

    def __init__(self, width: float, height: float, *, theme: Theme, scale: float) -> None:
        self.theme, self.width, self.height = theme, width, height
        self._figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI * scale, facecolor=theme.page)
        self._letters: Any = FigureCanvasAgg(self._figure).get_renderer()  # type: ignore[no-untyped-call]
        self._scale = scale
        installed = {font.name for font in font_manager.fontManager.ttflist}
        self.family = next(name for name in _WANTED_FONTS if name in installed)
        self._sheet = self.axes(Box(0, 0, width, height))
        self._sheet.set(xlim=(0, width), ylim=(height, 0), zorder=0)
        self._sheet.axis("off")

    def axes(self, box: Box) -> Axes:
        """Axes of a box, without any decoration of matplotlib's."""
        place = (box.x / self.width, 1 - (box.y + box.height) / self.height, box.width / self.width,
                 box.height / self.height)  # fmt: skip
        axes = self._figure.add_axes(place, facecolor="none", zorder=2)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0, labelsize=self.points(11), labelcolor=self.theme.faint, pad=4)
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_fontfamily(self.family)
        return axes

    def points(self, pixels: float) -> float:
        """A size of letters, or a width of lines, in the points that matplotlib counts in."""
        return pixels * 72 / DPI

    def rectangle(self, box: Box, colour: str, *, round_by: float = 0, edge: str = "none", opacity: float = 1) -> None:
        """A filled rectangle."""
        style: dict[str, Any] = {
            "facecolor": colour, "edgecolor": edge, "linewidth": self.points(1), "alpha": opacity
        }  # fmt: skip
        if not round_by:
            self._sheet.add_patch(Rectangle((box.x, box.y), box.width, box.height, **style))
            return
        shape = f"round,pad=0,rounding_size={min(round_by, box.width / 2, box.height / 2)}"
        self._sheet.add_patch(FancyBboxPatch((box.x, box.y), box.width, box.height, boxstyle=shape, **style))

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1) -> None:
        """A straight line."""
        self._sheet.plot([x1, x2], [y1, y2], color=colour, linewidth=self.points(width), solid_capstyle="butt")

    def text(
        self, x: float, y: float, words: str, *, size: float = 12, colour: str = "", bold: bool = False,
        italic: bool = False, align: str = "left", room: float | None = None, vertical: str = "center",
    ) -> float:  # fmt: skip
        """Words at a place, cut to the room there is; returns their width."""
        font = self.font(size, bold=bold, italic=italic)
        if room is not None and self.measure(words, font) > room:
            while words and self.measure(words + "…", font) > room:
                words = words[:-1]
            words = words.rstrip() + "…"
        self._sheet.text(
            x, y, words, parse_math=False, fontproperties=font, color=colour or self.theme.text, ha=align,
            va=vertical if vertical != "center" else "center_baseline",
        )  # fmt: skip
        return self.measure(words, font)

    def font(self, size: float, *, bold: bool = False, italic: bool = False) -> FontProperties:
        """The letters of a size in pixels."""
        return FontProperties(
            family=[self.family, "DejaVu Sans"], size=self.points(size), weight="bold" if bold else "normal",
            style="italic" if italic else "normal",
        )  # fmt: skip

    def measure(self, words: str, font: FontProperties) -> float:
        """The width of words in pixels."""
        width, _, _ = self._letters.get_text_width_height_descent(words, font, ismath=False)
        return float(width) / self._scale

    def save(self, path: Path) -> None:
        """Write the sheet as PNG."""
        self._figure.savefig(path, format="png", facecolor=self.theme.page, pil_kwargs={"optimize": True})
