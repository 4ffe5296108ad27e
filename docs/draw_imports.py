"""Draw who may import whom: ``python docs/draw_imports.py``, after a change of the table.

The table is that of tests/test_imports.py. Rooms lie above what they import. What all may import is
the ground, what may import all is the roof, and an arrow that follows from others is left out.
"""

# SPDX-License-Identifier: BSD-3-Clause

import itertools
import runpy
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon
from matplotlib.path import Path as Curve

ROOT = Path(__file__).parents[1]
TARGET = Path(__file__).parent / "images" / "imports.svg"
WIDTH, HEIGHT, STEP_X, STEP_Y = 2.1, 0.72, 2.6, 1.5  # Of rooms, and from room to room.
COLUMNS = 4
COLORS = {"autoencoders": "#c9dff2", "samplers": "#f7d9b8", "pipeline": "#d5e8c8"}
PLAIN, LINE, TEXT = "#eef0f2", "#5b6570", "#1d2329"


def read_table():
    """Rooms, ground and roof, imports, lazy imports and third-party packages."""
    table = runpy.run_path(str(ROOT / "tests" / "test_imports.py"))
    there = {path.stem for path in (ROOT / "latentgen").iterdir() if path.stem[0] != "_"}
    imports = {
        part: None if others is None else others & there - {part}
        for part, others in table["ALLOWED"].items()
        if part in there
    }
    roof = [part for part, others in imports.items() if others is None]
    for part in roof:
        del imports[part]
    lazy = {part: set(others) for part, others in table["INSIDE_FUNCTIONS"].items()}
    users = {part: sum(part in others for others in imports.values()) for part in imports}
    ground = sorted(part for part in imports if users[part] > 0.8 * (len(imports) - 3))
    rooms = {part: others - {*ground} for part, others in imports.items() if part not in ground}
    return rooms, lazy, ground, roof, table["THIRD_PARTY"]


def reduce_edges(rooms, lazy):
    """Arrows (from, to, lazy) without those that follow from others."""

    def reach(part):
        return set().union(*({other} | reach(other) for other in rooms[part]), set())

    edges = []
    for part, others in rooms.items():
        implied = set().union(*(reach(other) for other in others), set())
        edges += [(part, other, False) for other in sorted(others - implied)]
        edges += [(part, other, True) for other in sorted(lazy.get(part, ()))]
    return edges


def find_floors(rooms, lazy):
    """Floor of each room: above all that it imports, and right below what imports it."""
    below = {part: rooms[part] | lazy.get(part, set()) for part in rooms}

    def depth(part):
        return 1 + max(map(depth, below[part]), default=-1)

    floors = {part: depth(part) for part in rooms}
    for part in sorted(rooms, key=floors.get, reverse=True):
        above = [floors[other] for other in rooms if part in below[other]]
        floors[part] = min(above, default=floors[part] + 1) - 1
    return floors


def curve_between(start, end):
    """A curve that leaves and arrives vertically."""
    bend = 0.5 * (start[1] - end[1])
    return np.array([start, (start[0], start[1] - bend), (end[0], end[1] + bend), end])


def points_on(curve, n_points=15):
    t = np.linspace(0, 1, n_points)[:, None]
    a, b, c, d = curve
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def curves_of(edges, place):
    """Curve of each arrow; the ends at a room are spread in the order of the other ends."""
    curves = {}
    ends = {}
    for side, index in [("bottom", 0), ("top", 1)]:
        for part in place:
            mine = [edge for edge in edges if edge[index] == part]
            mine.sort(key=lambda edge: (place[edge[1 - index]][0], place[edge[1 - index]][1]))
            gap = min(0.4, 1.5 / max(len(mine), 1))
            for i, edge in enumerate(mine):
                x = place[part][0] + gap * (i - (len(mine) - 1) / 2)
                sign = -1 if side == "bottom" else 1
                ends[edge, side] = x, place[part][1] + sign * HEIGHT / 2
    for edge in edges:
        curves[edge] = curve_between(ends[edge, "bottom"], ends[edge, "top"])
    return curves


def cost(edges, place):
    """How hard a layout is to read: arrows through rooms, crossings, lengths."""
    curves = {edge: points_on(curve) for edge, curve in curves_of(edges, place).items()}
    total = 0.0
    for edge, points in curves.items():
        total += abs(points[0, 0] - points[-1, 0])
        for part, (x, y) in place.items():
            if part not in edge[:2]:
                inside = np.abs(points - (x, y)) < (WIDTH / 2 + 0.1, HEIGHT / 2 + 0.05)
                total += 20 * inside.all(axis=1).any()
    for one, other in itertools.combinations(curves, 2):
        if not {*one[:2]} & {*other[:2]}:
            distances = np.linalg.norm(curves[one][:, None] - curves[other], axis=2)
            total += 2 * (distances.min() < 0.12)
    return total


def place_rooms(floors, edges):
    """Center of each room, by changing one floor after the other for the better."""
    n_floors = 1 + max(floors.values())
    rows = [[part for part in floors if floors[part] == i] for i in range(n_floors)]
    n_columns = max(COLUMNS, max(map(len, rows)))
    slots = np.arange(0, n_columns - 0.5, 0.5)
    choices = []
    for row in rows:
        order = [
            list(xs)
            for xs in itertools.permutations(slots, len(row))
            if all(abs(a - b) >= 1 for a, b in itertools.combinations(xs, 2))
        ]
        choices.append(order)
    rng = np.random.RandomState(0)
    best, best_cost = None, np.inf
    for _ in range(8):
        chosen = [order[rng.randint(len(order))] for order in choices]

        def layout(chosen):
            return {
                part: (STEP_X * x, STEP_Y * i)
                for i, (row, xs) in enumerate(zip(rows, chosen, strict=True))
                for part, x in zip(row, xs, strict=True)
            }

        current = np.inf
        for _ in range(4):
            before = current
            for i, order in enumerate(choices):
                some = [order[j] for j in rng.permutation(len(order))[:60]]
                for xs in some:
                    trial = [*chosen[:i], xs, *chosen[i + 1 :]]
                    if (found := cost(edges, layout(trial))) < current:
                        chosen, current = trial, found
            if current == before:
                break
        if current < best_cost:
            best, best_cost = layout(chosen), current
    return best


def draw_room(axes, center, name, packages, *, width=WIDTH, color=PLAIN):
    x, y = center
    box = FancyBboxPatch(
        (x - width / 2, y - HEIGHT / 2),
        width,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.1",
        facecolor=color,
        edgecolor=LINE,
        linewidth=1.1,
        zorder=3,
    )
    axes.add_patch(box)
    axes.text(
        x,
        y + (0.1 if packages else 0),
        name,
        ha="center",
        va="center",
        color=TEXT,
        size=12,
        zorder=4,
    )
    axes.text(x, y - 0.2, packages, ha="center", va="center", color=LINE, size=8, zorder=4)


def main():
    """Draw the picture."""
    rooms, lazy, ground, roof, third_party = read_table()
    edges = reduce_edges(rooms, lazy)
    place = place_rooms(find_floors(rooms, lazy), edges)

    plt.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "latentgen"})
    xs, ys = np.array([*place.values()]).T
    left, right = xs.min() - WIDTH / 2 - 0.5, xs.max() + WIDTH / 2 + 0.5
    top, bottom = ys.max() + HEIGHT / 2 + 0.45, ys.min() - HEIGHT / 2 - 0.45
    figure, axes = plt.subplots(figsize=(right - left, top - bottom + 3))
    axes.set(xlim=(left - 0.5, right + 0.5), ylim=(bottom - 1.2, top + 1.6), aspect="equal")
    axes.axis("off")

    middle = (left + right) / 2
    gable = [(left - 0.35, top), (middle, top + 1.45), (right + 0.35, top)]
    axes.add_patch(Polygon(gable, facecolor="#e6d3d3", edgecolor=LINE, linewidth=1.1))
    axes.text(middle, top + 0.55, ", ".join(roof), ha="center", color=TEXT, size=12)
    axes.text(middle, top + 0.2, "may import everything", ha="center", color=LINE, size=8)
    axes.add_patch(
        Polygon(
            [(left, bottom), (left, top), (right, top), (right, bottom)],
            fill=False,
            edgecolor=LINE,
            linewidth=1.1,
        )
    )
    packages = sorted(set().union(*(third_party.get(part, set()) for part in ground)))
    note = "everyone may import this" + (f"; {', '.join(packages)}" if packages else "")
    draw_room(
        axes,
        (middle, bottom - HEIGHT / 2),
        ", ".join(ground),
        note,
        width=right - left + 0.7,
        color="#dcd8cf",
    )

    for part, center in place.items():
        packages = ", ".join(sorted(third_party.get(part, ())))
        draw_room(axes, center, part, packages, color=COLORS.get(part, PLAIN))
    for edge, curve in curves_of(edges, place).items():
        codes = [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
        arrow = FancyArrowPatch(
            path=Curve(curve, codes),
            arrowstyle="-|>,head_length=5,head_width=2.6",
            linestyle=(0, (4, 3)) if edge[2] else "-",
            color=LINE,
            linewidth=1.1,
            shrinkA=0,
            shrinkB=0,
            zorder=2,
        )
        axes.add_patch(arrow)
    figure.savefig(TARGET, bbox_inches="tight", facecolor="white", metadata={"Date": None})
    print(f"{TARGET}: {len(rooms)} rooms, {len(edges)} arrows")


if __name__ == "__main__":
    main()
