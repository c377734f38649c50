"""The heat map of a scored grid as a self-contained SVG: length to the right, depth downwards, one panel per kind."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from cleartrace.needle.score import Cell
from cleartrace.needle.tasks import NeedleKind

CELL_W, CELL_H = 44, 22
LEFT, TOP, BOTTOM, GAP = 64, 46, 44, 18
_LOW, _HIGH = (247, 231, 206), (8, 81, 156)
_STYLE = "font-family='system-ui, sans-serif' font-size='11'"


def heat_map(cells: Sequence[Cell], title: str = "") -> str:
    """SVG text. Each cell shows its exact-match score in percent.

    Raises:
        ValueError: there is no cell.
    """
    if not cells:
        raise ValueError("there is no cell to draw")
    kinds = list(dict.fromkeys(cell.kind for cell in cells))
    panels, top, width = [], 0, 0
    for kind in kinds:
        own = [cell for cell in cells if cell.kind is kind]
        panel, panel_width, height = _panel(kind, own, top)
        panels.append(panel)
        top, width = top + height + GAP, max(width, panel_width)
    label = escape(title or "Needle in a haystack: exact match by length and depth")
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{top}' viewBox='0 0 {width} {top}' "
    ground = f"<rect width='{width}' height='{top}' fill='#ffffff'/>"
    return f"{head}role='img' aria-label='{label}' {_STYLE}><title>{label}</title>{ground}{''.join(panels)}</svg>\n"


def _panel(kind: NeedleKind, cells: Sequence[Cell], top: int) -> tuple[str, int, int]:
    lengths, depths = sorted({c.length for c in cells}), sorted({c.depth for c in cells})
    width, height = LEFT + CELL_W * len(lengths) + 12, TOP + CELL_H * len(depths) + BOTTOM
    mean = sum(c.exact * c.n for c in cells) / sum(c.n for c in cells)
    parts = [_text(LEFT, top + 18, f"{kind.value}: {mean:.1%} of {sum(c.n for c in cells)}", anchor="start", size=13)]
    parts.append(_text(LEFT - 8, top + TOP - 10, "depth", anchor="end"))
    for column, length in enumerate(lengths):
        x = LEFT + CELL_W * column + CELL_W // 2
        parts.append(_text(x, top + height - BOTTOM + 16, _short(length)))
    for row, depth in enumerate(depths):
        parts.append(_text(LEFT - 8, top + TOP + CELL_H * row + 15, f"{depth:.0%}", anchor="end"))
    middle = LEFT + CELL_W * len(lengths) // 2
    parts.append(_text(middle, top + height - BOTTOM + 34, "length"))
    for cell in cells:
        x, y = LEFT + CELL_W * lengths.index(cell.length), top + TOP + CELL_H * depths.index(cell.depth)
        parts.append(_square(x, y, cell))
    return "".join(parts), width, height


def _square(x: int, y: int, cell: Cell) -> str:
    colour = tuple(round(low + (high - low) * cell.exact) for low, high in zip(_LOW, _HIGH, strict=True))
    tip = f"length {cell.length}, depth {cell.depth:.0%}: exact {cell.exact:.1%}, found {cell.found:.1%}, n = {cell.n}"
    square = f"<rect x='{x}' y='{y}' width='{CELL_W - 1}' height='{CELL_H - 1}' fill='rgb{colour}'>"
    ink = "#ffffff" if cell.exact > 0.5 else "#1a1a1a"
    return f"{square}<title>{tip}</title></rect>{_text(x + CELL_W // 2, y + 15, f'{100 * cell.exact:.0f}', ink=ink)}"


def _text(x: int, y: int, text: str, anchor: str = "middle", size: int = 11, ink: str = "#1a1a1a") -> str:
    return f"<text x='{x}' y='{y}' text-anchor='{anchor}' font-size='{size}' fill='{ink}'>{escape(text)}</text>"


def _short(length: int) -> str:
    return f"{length / 1000:.1f}".removesuffix(".0") + "k" if length >= 1000 else str(length)
