"""The page of the hardware's benchmarks, and its plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .bench import write_figures
from .foldings import FRONT
from .goals import RIVALS, ROWS, Figures, Result, number, shown, verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def markdown(results: Mapping[str, Result]) -> str:
    """The page for the docs."""
    commits = sorted({result.commit for result in results.values() if result.commit})
    lines = [*INTRODUCTION.splitlines(), "", *(f"Measured on commit {commit}." for commit in commits)]
    lines += ["", "| | measured | goals | others |", "|---|---|---|---|"]
    for row in ROWS:
        result = results.get(row.id, Result({}, missing="not measured"))
        goals = "<br>".join(verdict(goal, result.figures) for goal in row.goals if result.measured)
        lines.append(f"| {row.title} | {result.missing or shown(result.figures)} | {goals} | {row.rival} |")
    lines += ["", "How each was measured:", ""]
    lines += [f"- {row.title}: {'; '.join(results[row.id].remarks)}" for row in ROWS if _measured(results, row.id)]
    lines += [
        "",
        *FRONT_TEXT.splitlines(),
        "",
        "| fold | LUT4 | COMB | DP16KD | MHz | cycles per step | us per image |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for name, figures in front(results):
        columns = ("luts", "comb", "dp16kd", "fmax_mhz", "cycles_per_step", "us_per_image")
        lines.append(f"| {name} | {' | '.join(number(figures[column]) for column in columns)} |")
    for rival in RIVALS:
        comb = "" if rival.comb is None else f"{number(rival.comb)} "
        name = f"{rival.name}, quoted ({rival.source})"
        lines.append(f"| {name} | {number(rival.luts)} | {comb}| | | | {number(rival.us_per_image)} |")
    lines += ["", "![Look-up tables over time per image](benchmarks_hardware.svg)", "", *TOOLS_TEXT.splitlines()]
    return "\n".join(lines) + "\n"


INTRODUCTION = """\
# Benchmarks of the hardware

Made by `benchmarks/hardware.py` with the real tools (YoWASP's yosys and nextpnr), on spikes of MNIST's test images
where the network is for MNIST. Figures of others are quoted: their sources are not here. Those of Spiker+ and SYNtzulu
came out of the same tools, and both are dense and clocked where these cores are sparse and event driven.
LUT4 of an ECP5 are look-up tables with logic; COMB are all cells, those of carry chains included. One placement seed,
except for 64-32-10, of whose three seeds the slowest counts. Cycles per step are those of a sample alone, from its
first token in to its last out, divided by its steps; time is at the Fmax of the same core, for images of 25 steps
unless a row says otherwise.

The networks for MNIST were trained with snnTorch, then pruned, quantised and trained on (`--idx` does it all from
MNIST's own files); that of 256-128-10 keeps about as many synapses as its time per image leaves room for. 64-32-10 and
32-64-128-64-12 have random weights and so no accuracy. Compilation counts processor time, as the machine did other work
as well."""

FRONT_TEXT = """\
## The folding axis

784-128-10 as a core on an ECP5-25k, from one shared engine to all neurons at once."""

TOOLS_TEXT = "LUT4 over time per image: the lower left is better."


def _measured(results: Mapping[str, Result], id: str) -> bool:
    return id in results and results[id].measured


def front(results: Mapping[str, Result]) -> list[tuple[str, Figures]]:
    """The points of the folding axis that were measured."""
    return [(name, results[id].figures) for id, (name, _) in FRONT.items() if _measured(results, id)]


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other is at least as good as in both, by their first figure."""
    best: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not best or point[1] < best[-1][1]:
            best.append(point)
    return best


PLACES = (
    ((5, 5), "left"),
    ((5, -10), "left"),
    ((-5, 5), "right"),
    ((-5, -10), "right"),
    ((5, 14), "left"),
    ((5, -19), "left"),
)
"""Where the name of a point may stand: how far off, in points, and which of its ends is there."""


def name_points(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Name each point at the first place where its name stays in the frame and off the legend, points and other names;
    one that finds none has the last place."""
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in axes.transData.transform(list(points.values()))]
    legend = axes.get_legend()
    assert legend is not None, "names keep off the legend"
    taken.append(legend.get_window_extent())
    for name, point in points.items():
        for offset, side in PLACES:
            text = axes.annotate(name, point, xytext=offset, textcoords="offset points", fontsize=7, ha=side)
            box = text.get_window_extent()
            inside = axes.bbox.containsx(box.x1) and axes.bbox.containsx(box.x0)
            if (inside and not box.count_overlaps(taken)) or (offset, side) == PLACES[-1]:
                taken.append(box)
                break
            text.remove()


def plot(results: Mapping[str, Result], file: Path) -> None:
    """Look-up tables over time per image."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "spikeloom", "font.size": 9})
    figure, axes = plt.subplots(figsize=(6.4, 4))
    points = {name: (figures["us_per_image"], figures["luts"]) for name, figures in front(results)}
    if points:
        axes.plot(*zip(*points.values(), strict=True), "o", color="tab:blue", label="784-128-10, measured")
        axes.plot(*zip(*pareto(list(points.values())), strict=True), "-", color="tab:blue", alpha=0.4, zorder=0)
    if _measured(results, "mnist16"):
        small = results["mnist16"].figures
        points["256-128-10"] = (small["us_per_image"], small["luts"])
        axes.plot(*points["256-128-10"], "D", color="tab:green", label="256-128-10, measured")
    others = {rival.name: (rival.us_per_image, rival.luts) for rival in RIVALS}
    axes.plot(*zip(*others.values(), strict=True), "s", color="tab:red", label="others, quoted")
    points |= others
    axes.set(xscale="log", yscale="log", xlabel="µs per image (784-128-10: of 25 steps)", ylabel="LUT4")
    axes.grid(alpha=0.3, which="both")
    axes.margins(x=0.3, y=0.12)
    axes.legend(fontsize=8, loc="lower left")
    name_points(axes, points)
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def write_tables(results: Mapping[str, Result], folder: Path, docs: Path | None) -> None:
    goals = {row.id: [asdict(goal) for goal in row.goals] for row in ROWS}
    write_figures(
        folder / "hardware.json", {id: asdict(result) | {"goals": goals.get(id, [])} for id, result in results.items()}
    )
    for place in (folder, *([] if docs is None else [docs])):
        (place / "benchmarks_hardware.md").write_text(markdown(results), encoding="utf-8")
        plot(results, place / "benchmarks_hardware.svg")
