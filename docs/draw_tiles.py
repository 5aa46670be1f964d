"""Draws the tiles of docs/how.md: python docs/draw_tiles.py"""

from pathlib import Path

N, TILE, CELL = 32, 8, 7
EMPTY, PARTLY, FULL, DOT = "#e8ecec", "#a6d5cf", "#3aa394", "#0b4f46"


def document(position):
    return 0 if position < 11 else 1 if position < 20 else 2


MASKS = {
    "causal": lambda i, j: j <= i,
    "window": lambda i, j: i - 6 <= j <= i,
    "documents": lambda i, j: j <= i and document(i) == document(j),
    "prefix": lambda i, j: j <= i or j < 10,
}


def tile_colour(sees, row, column):
    pairs = [sees(i, j) for i in range(row, row + TILE) for j in range(column, column + TILE)]
    return FULL if all(pairs) else PARTLY if any(pairs) else EMPTY


def draw(name, sees):
    side = N * CELL
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {side + 4} {side + 4}" '
        f'role="img" aria-label="Tiles of a {name} mask">'
    ]
    for row in range(0, N, TILE):
        for column in range(0, N, TILE):
            parts.append(
                f'<rect x="{column * CELL}" y="{row * CELL}" width="{TILE * CELL}" '
                f'height="{TILE * CELL}" fill="{tile_colour(sees, row, column)}" '
                'stroke="#ffffff" stroke-width="2"/>'
            )
    for i in range(N):
        dots = [f"M{(j + 0.5) * CELL} {(i + 0.5) * CELL}h0" for j in range(N) if sees(i, j)]
        parts.append(
            f'<path d="{"".join(dots)}" stroke="{DOT}" stroke-width="2.8" stroke-linecap="round"/>'
        )
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    for name, sees in MASKS.items():
        (Path(__file__).parent / "tiles" / f"{name}.svg").write_text(draw(name, sees))
