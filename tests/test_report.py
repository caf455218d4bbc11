"""The report: its schema, its text and its page."""

from __future__ import annotations

import copy
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from spikeloom.compiler.compression.recipe import Recipe
from spikeloom.compiler.estimate.estimate import Estimate, Work
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import LIF, Decay, IntegerDynamics, Kind
from spikeloom.compiler.lowering.error import quantisation_error
from spikeloom.compiler.plan.folding import pipelined_folding
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.compiler.report.contents import chapters
from spikeloom.compiler.report.facts import (
    Accuracy,
    Activity,
    Block,
    ClassAccuracy,
    Device,
    EarlyExits,
    Facts,
    Floorplan,
    Latency,
    Link,
    Metrics,
    PathStep,
    Raster,
    RasterLayer,
    SavedCycles,
    Source,
    Timing,
    Trace,
    Traces,
)
from spikeloom.compiler.report.neurobench import NeuroBench
from spikeloom.compiler.report.page import render_html
from spikeloom.compiler.report.plots import Bar, Stack, bars, lines, stacks
from spikeloom.compiler.report.report import _adaptation, build_report, check_report
from spikeloom.compiler.report.rows import semantics_rows
from spikeloom.compiler.report.schema import ReportData
from spikeloom.compiler.report.text import print_report
from spikeloom.hdl.errors import InputError
from spikeloom.hdl.json_files import shaped
from spikeloom.hdl.resources import Resources

SIZES = (16, 12, 4)
NAMES = ("hidden", 'out</script><b onload="x">&')


def float_network() -> Network:
    """16-12-4 with half of its synapses missing, and a hostile name."""
    rng = np.random.default_rng(3)
    populations, projections, pre = [], [], INPUT
    for name, inputs, outputs in zip(NAMES, SIZES, SIZES[1:], strict=False):
        weights = rng.integers(-7, 8, (inputs, outputs)) * (rng.random((inputs, outputs)) < 0.5) * 0.125
        dynamics = LIF(beta=np.array(0.9), threshold=np.array(1.0))
        populations.append(Population(name=name, shape=(outputs,), dynamics=dynamics))
        projections.append(Projection(pre=pre, post=name, connectivity=Dense(weights=weights)))
        pre = name
    return Network(
        input_shape=(SIZES[0],),
        populations=tuple(populations),
        projections=tuple(projections),
        output=NAMES[-1],
        name="<network> & co",
        dialect="snntorch",
    )


def integer_network() -> Network:
    """The same with a weight unit of 0.125 and two fraction bits."""
    network = float_network()
    dynamics = IntegerDynamics(
        kind=Kind.LIF,
        fire=np.array(32),
        sub=np.array(32),
        decay=Decay(c=np.array(13), k=7),
        state_bits=12,
        fraction_bits=2,
        scale=np.array(0.125),
    )
    populations = [replace(p, dynamics=dynamics, bias=np.zeros((), np.int64)) for p in network.populations]
    projections = [
        replace(
            p,
            connectivity=Dense(weights=Quantised(codes=np.asarray(p.weights) * 8, bits=4, scale=np.array(0.125))),
            shift=2,
        )
        for p in network.projections
    ]
    return replace(network, populations=tuple(populations), projections=tuple(projections))


def facts(**changes: Any) -> Facts:
    network = float_network()
    everything = Facts(
        plan=make_plan(integer_network(), "ice40"),
        source=network,
        errors=quantisation_error(network, integer_network()),
        recipe=Recipe(sparsity=0.5, bits=4),
        used=Resources(luts=850, ffs=420, lcs=910, brams=6),
        used_source=Source.MEASURED,
        timing=Timing(
            clock_mhz=12.0,
            fmax_mhz=41.25,
            critical_path=(PathStep("layer0.bank", 6.5, 9.25), PathStep("layer0.walker", 3.25, 5.25)),
        ),
        device=Device(
            id="up5k",
            family="ice40",
            package="sg48",
            capacity=Resources(luts=5280, ffs=5280, lcs=5280, brams=30, spram=4),
        ),
        board={"id": "icebreaker", "name": "iCEBreaker"},
        latency=Latency(
            cycles=(100, 140, 120),
            steps=4,
            stimulus="calibration",
            cycles_per_layer=dict(zip(NAMES, (70.5, 45), strict=True)),
            cycles_per_engine=(115.5,),
        ),
        estimate=Estimate(
            resources=Resources(luts=840, ffs=410, lcs=930, brams=6),
            fmax_mhz=39.5,
            cycles=121.25,
            work=Work(events=31, synaptic_operations=190, neuron_updates=64, memory_reads=500, memory_writes=254),
        ),
        neurobench=Metrics(
            figures=NeuroBench(
                footprint_bytes=1234.5,
                connection_sparsity=0.51234,
                activation_sparsity=0.875,
                effective_macs=0.0,
                effective_acs=180.25,
                dense=960.0,
            ),
            samples=3,
            stimulus="calibration",
        ),
        link=Link(baud=1_000_000, bytes_per_sample=60.0),
        blocks=(
            Block("layer0.bank", Resources(luts=300, ffs=120, brams=2)),
            Block("link", Resources(luts=200, ffs=90)),
        ),
        activity=Activity(
            samples=3,
            spikes_per_sample={INPUT: 20.0, NAMES[0]: 11.0, NAMES[1]: 3.0},
            rate_per_step={
                INPUT: (0.2, 0.4, 0.3, 0.35),
                NAMES[0]: (0.0, 0.2, 0.3, 0.4),
                NAMES[1]: (0.0, 0.1, 0.2, 0.45),
            },
        ),
        accuracy=Accuracy(
            samples=3,
            real=1.0,
            integer=2 / 3,
            integer_interval=(0.2077, 0.9385),
            classes=(ClassAccuracy(label=1, samples=3, right=2, interval=(0.2077, 0.9385), taken_for=((0, 1),)),),
            confusion=((0, 0), (1, 2)),
        ),
        raster=Raster(
            sample=0,
            steps=4,
            layers=[
                RasterLayer(population=NAMES[0], rows=["..b.", "f.i."]),
                RasterLayer(population=NAMES[1], rows=["...."]),
            ],
        ),
        traces=Traces(
            sample=0,
            steps=4,
            neurons=[
                Trace(
                    population=NAMES[0],
                    neuron=1,
                    threshold=1.0,
                    real=(-0.25, 0.5, 0.9, 0.1),
                    integer=(-0.25, 0.46875, 0.1, 0.1),
                    spikes="f.i.",
                )
            ],
        ),
        floorplan=Floorplan(
            columns=26,
            rows=32,
            from_top=False,
            tiles=[
                (3, 4, "layer0.bank", "logic", 8),
                (3, 5, "layer0.bank", "logic", 2),
                (6, 1, "layer0.bank", "memory", 1),
                (4, 4, "link", "logic", 7),
            ],
        ),
        early=EarlyExits(
            margin=2,
            samples=3,
            steps=4,
            steps_taken=2.5,
            classes_changed=1,
            accuracy=2 / 3,
            cycles=SavedCycles(samples=3, whole=120.0, early=75.0),
        ),
        warnings=("the clock is <slow> & steady",),
    )
    return replace(everything, **changes)


BARE: dict[str, Any] = {
    "recipe": None,
    "device": None,
    "board": None,
    "latency": None,
    "estimate": None,
    "neurobench": None,
    "link": None,
    "blocks": (),
    "activity": None,
    "accuracy": None,
    "early": None,
    "raster": None,
    "traces": None,
    "floorplan": None,
    "warnings": (),
    "used": Resources(brams=4),
    "used_source": Source.ESTIMATED,
    "timing": Timing(clock_mhz=12.0),
}


def documented_keys() -> set[str]:
    """The paths in the tables of docs/report.md, such as `timing.fmax_mhz`."""
    text = (Path(__file__).resolve().parent.parent / "docs" / "report.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))


def paths(value: Any, prefix: str = "") -> set[str]:
    """Every path to a figure; names of populations, and places in lists, become `*`."""
    if isinstance(value, dict):
        if prefix in ("semantics", "activity.spikes_per_sample", "activity.rate_per_step"):
            return set().union(*(paths(item, f"{prefix}.*") for item in value.values()))
        dot = f"{prefix}." if prefix else ""
        return set().union(*(paths(item, f"{dot}{key}") for key, item in value.items()))
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return set().union(*(paths(item, f"{prefix}[]") for item in value))
    return {prefix}


def test_every_key_is_documented_and_every_documented_key_is_there() -> None:
    roomy = replace(facts().plan, headroom=0.1)
    report = build_report(facts(plan=roomy, reloads=2))
    assert report["exchange"] == {"headroom": 0.1, "reloads": 2}
    assert "weights can be exchanged in the bitstream (10% headroom): exchanged 2 times" in render_html(report)
    found = {re.sub(r"^utilization\.\w+", "utilization.*", path) for path in paths(report)}
    assert found == documented_keys()


def test_the_report_is_json_and_says_what_the_facts_say() -> None:
    report = json.loads(json.dumps(build_report(facts()), allow_nan=False))
    assert report["schema_version"] == 2
    assert report["utilization"]["lcs"] == {
        "used": 910,
        "estimated": 930,
        "available": 5280,
        "source": "measured",
    }
    assert set(report["utilization"]) == {"luts", "ffs", "lcs", "brams", "spram", "dsps"}
    assert report["timing"]["met"] is True
    latency = report["latency"]
    assert (latency["cycles_per_sample"], latency["microseconds_per_sample"]) == (120, 10.0)
    assert (latency["cycles_per_sample_min"], latency["cycles_per_sample_max"]) == (100, 140)
    assert (latency["cycles_per_step"], latency["samples_measured"]) == (30, 3)
    assert report["link"] == {
        "baud": 1_000_000,
        "bytes_per_sample": 60.0,
        "microseconds_per_sample": 600.0,
        "bound_by": "line",
        "encoder": None,
        "decoder": None,
        "encoder_cycles_per_sample": None,
        "source": "estimated",
    }


def test_what_ends_early_is_told() -> None:
    report = build_report(facts())
    early = report["early_exit"]
    assert (early["margin"], early["steps_taken"], early["classes_changed"]) == (2, 2.5, 1)
    assert (early["cycles"], early["cycles_taken"], early["cycles_of_samples"]) == (120.0, 75.0, 3)
    assert "2.5 of 4" in (page := render_html(report)) and "75 of 120 (37.5% saved)" in page
    assert build_report(facts(**BARE))["early_exit"] is None


def test_bits_are_those_of_the_memories_and_of_the_bound() -> None:
    report = build_report(facts())
    memory = report["memory"]
    weights = [region for region in memory["map"] if region["role"] in ("rows", "masks", "entries")]
    assert memory["stored_bits"] == sum(region["depth"] * region["width_bits"] for region in weights)
    assert memory["total_bits"] == sum(region["bits"] for region in memory["map"]) > memory["stored_bits"]
    bound = 0.0
    for projection in integer_network().projections:
        codes = projection.weights.codes  # type: ignore[union-attr]
        synapses = int(np.count_nonzero(codes))
        levels = len(np.unique(codes[codes != 0]))
        bound += math.log2(math.comb(codes.size, synapses)) + synapses * math.ceil(math.log2(levels))
    assert memory["entropy_bits"] == pytest.approx(bound, abs=0.2)
    assert report["network"]["synapses"] == sum(layer["synapses"] for layer in report["layers"])


def test_an_engine_says_what_it_runs_and_how_its_synapses_are_stored() -> None:
    report = build_report(facts())
    (engine,) = report["engines"]
    assert (engine["block"], engine["populations"], engine["kind"]) == ("core.engine0", list(NAMES), "sparse")
    assert engine["stored_bits"] == report["memory"]["stored_bits"]
    assert engine["stored_over_entropy"] == pytest.approx(engine["stored_bits"] / engine["entropy_bits"], rel=1e-4)
    assert engine["encoding"]["entries"] >= report["network"]["synapses"]


def test_shared_and_pipelined_engines_are_told_apart() -> None:
    latency = replace(facts().latency, cycles_per_engine=(70.5, 45))  # type: ignore[type-var]
    plan = make_plan(integer_network(), "ice40", pipelined_folding(integer_network()))
    pipelined = build_report(facts(plan=plan, latency=latency))
    assert [engine["populations"] for engine in pipelined["engines"]] == [[name] for name in NAMES]
    assert [layer["block"] for layer in pipelined["layers"]] == ["core.engine0", "core.engine1"]
    assert "work as a pipeline" in render_html(pipelined)
    assert "runs the layers in turn" in render_html(build_report(facts()))


def test_errors_of_quantisation_are_stated() -> None:
    hidden = build_report(facts())["semantics"]["hidden"]
    assert hidden["errors"]["weights_relative"] == 0
    assert hidden["errors"]["leak_relative"] == pytest.approx(13 / 128 / 0.1 - 1, rel=1e-4)
    assert hidden["decay"]["keeps_min"] == hidden["decay"]["keeps_max"] == pytest.approx(1 - 13 / 128, rel=1e-5)


def test_what_neurons_have_besides_is_stated() -> None:
    report = json.loads(json.dumps(build_report(facts())))
    hidden = report["semantics"]["hidden"]
    assert (hidden["floor"], hidden["adaptation"], hidden["max_spikes"]) == (None, None, 1)
    hidden |= {"floor": {"min": -1.0, "max": -1.0}, "max_spikes": 3}
    rows = semantics_rows(report["semantics"])[1]
    assert rows[0][1] == "LIF, floor" and rows[0][3] == "above, 1 to 3 times"
    hidden |= {"floor": None, "adaptation": {"decay": None, "jump_min": 0.5, "jump_max": 0.5}}
    assert semantics_rows(report["semantics"])[1][0][1] == "LIF, adapts"
    for key in ("floor", "adaptation", "max_spikes"):
        del hidden[key]
    assert semantics_rows(report["semantics"])[1][0][1::2][:2] == ("LIF", "above")


def test_thresholds_that_adapt_are_stated() -> None:
    dynamics = integer_network().populations[0].dynamics
    assert isinstance(dynamics, IntegerDynamics)
    stated = _adaptation(replace(dynamics, decay_a=Decay(c=1, k=2), jump=np.array([16, 32])))
    assert stated is not None and stated["decay"]["keeps_min"] == 0.75
    assert (stated["jump_min"], stated["jump_max"]) == (0.5, 1.0)
    assert _adaptation(dynamics) is None


def test_what_was_not_measured_is_null() -> None:
    report = build_report(facts(**BARE))
    assert report["device"] is None and report["board"] is None and report["link"] is None
    assert report["utilization"]["brams"] == {
        "used": 4,
        "estimated": None,
        "available": None,
        "source": "estimated",
    }
    assert report["timing"] == {
        "clock_choice": None,
        "clock_mhz": 12.0,
        "fmax_mhz": None,
        "fmax_mhz_estimated": None,
        "met": None,
        "critical_path": [],
        "source": None,
    }
    assert report["latency"]["cycles_per_sample"] is None and report["latency"]["samples_measured"] == 0


def text_of(report: dict[str, Any], width: int = 200) -> str:
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


def test_names_cannot_command_the_terminal() -> None:
    report = json.loads(json.dumps(build_report(facts())))
    report["network"]["name"] = "evil\x1b[31m\nname"
    report["warnings"] = ["\x1b]0;title\x07"]
    text = text_of(report)
    assert "\x1b" not in text and "\x07" not in text
    assert "evil\\x1b[31m\\nname" in text


@pytest.mark.parametrize("changes", [{}, BARE])
def test_piped_text_is_plain_and_at_most_100_columns_wide(changes: dict[str, Any]) -> None:
    text = text_of(json.loads(json.dumps(build_report(facts(**changes)))))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    for word in ("Utilisation", "Block RAMs", "Memory map", "Semantics", "hidden"):
        assert word in text


def test_text_holds_the_figures() -> None:
    text = text_of(build_report(facts()))
    for figure in (
        "910",
        "930",
        "5,280",
        "17.2%",
        "41.25 MHz",
        "meets the clock; estimated 39.50",
        "estimated 121.2",
        "100 to 140",
        "600 µs",
        "66.67%",
    ):
        assert figure in text


class _Page(HTMLParser):
    """Checks that tags nest, and collects what a browser would load or run."""

    VOID = ("meta", "rect", "path", "polyline")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("changes", [{}, BARE])
def test_the_page_is_self_contained_and_escapes_the_model(changes: dict[str, Any]) -> None:
    html = render_html(json.loads(json.dumps(build_report(facts(**changes)))))
    page = _Page()
    page.feed(html)
    assert page.open == []
    assert not page.tags & {"script", "link", "img", "iframe", "b onload", "network"}
    assert not {name for name in page.attributes if name.startswith("on") or name in ("src", "href")}
    assert "<network>" not in html and "&lt;network&gt; &amp; co" in html
    assert "http" not in re.sub(r'http-equiv="[^"]*"', "", html)


MARKUP = """<b onload=1 '">&amp;"""


def marked(value: Any, key: str = "") -> Any:
    """A report whose texts all hold markup, but for the one that is looked up."""
    if isinstance(value, dict):
        named = key in ("semantics", "rate_per_step")
        return {MARKUP + name if named else name: marked(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [marked(item, key) for item in value]
    return MARKUP + value if isinstance(value, str) and key != "fire" else value


@pytest.mark.parametrize("changes", [{}, BARE])
def test_no_text_of_a_report_is_markup(changes: dict[str, Any]) -> None:
    plain, page = _Page(), _Page()
    plain.feed(render_html(json.loads(json.dumps(build_report(facts(**changes))))))
    page.feed(render_html(marked(json.loads(json.dumps(build_report(facts(**changes)))))))
    assert page.open == [] and page.tags <= plain.tags and page.attributes <= plain.attributes


def test_the_page_shows_every_plot() -> None:
    html = render_html(build_report(facts()))
    for title in (
        "Resources used",
        "Critical path",
        "Busy cycles",
        "Bits per block",
        "LUTs per block",
        "Spikes per",
        "Confusion",
        "Spikes of",
    ):
        assert f'aria-label="{title}' in html
    assert "&lt;slow&gt;" in html


def test_plots_of_nothing_are_still_plots() -> None:
    assert bars("none", []) == '<div class="chart" role="group" aria-label="none"></div>'
    assert "nan" not in bars("zero", [Bar("a", 0, "0", 0), Bar("b", 0, "0")])
    assert "nan" not in stacks("zero", ("x",), [Stack("a", (0,), "0")])
    assert "nan" not in lines("one", "step", {"a": (0.0,)}) and "<svg" in lines("none", "step", {})


def test_cells_of_an_ecp5_are_comb_beside_lut4() -> None:
    """Its look-up tables alone say little: adders take cells without one."""
    given = facts()
    assert given.device is not None
    ecp5 = build_report(replace(given, device=replace(given.device, family="ecp5")))
    for shown in (text_of, render_html):
        old, new = shown(build_report(given)), shown(ecp5)
        assert "Logic cells" in old and "COMB" not in old
        assert "COMB cells" in new and "LUT4" in new and "Logic cells" not in new


def test_a_long_name_stays_whole() -> None:
    name = "population_with_a_very_long_name"
    assert f'<span class="name">{name}</span>' in bars("long", [Bar(name, 1, "1")])


def test_text_and_page_have_the_same_chapters() -> None:
    report = build_report(facts())
    titles = [chapter.title for chapter in chapters(report)]
    page, text = render_html(report), text_of(report).splitlines()
    assert re.findall("<section><h2>(.*?)</h2>", page) == titles
    assert [name for line in text if (name := line.split(" (")[0].rstrip()) in titles] == titles


# ------------------------------------------------------------------------------------------------- what is read


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a report."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield (*path, key)
        yield from leaves(item, (*path, key))


def exchanged(report: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value there."""
    result = copy.deepcopy(report)
    place = result
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return result


@pytest.mark.parametrize("value", [None, True, -1, 1e308, "x", []])
def test_whatever_a_report_holds_it_is_shown_or_refused_in_one_short_line(value: Any) -> None:
    report = json.loads(json.dumps(build_report(facts())))
    refused = 0
    for path in leaves(report):
        changed = exchanged(report, path, value)
        try:
            check_report(changed)
        except InputError as error:
            assert str(error).startswith("a report must ") and str(error).count("\n") == 0 and len(str(error)) < 300
            refused += 1
        else:
            text_of(changed)
            render_html(changed)
    assert refused > 50


@pytest.mark.parametrize("changes", [{}, BARE])
def test_what_is_built_is_of_the_schema(changes: dict[str, Any]) -> None:
    report = json.loads(json.dumps(build_report(facts(**changes))))
    assert check_report(report) is report
    assert check_report({**report, "later": 1})["later"] == 1
    assert shaped(report, ReportData) == report  # which leaves out what the schema does not name


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema_version",), 3, "a report must be of schema 2: report.json has 3; compile again with"),
        (
            ("network", "inputs"),
            True,
            "a report must hold a whole number as network.inputs: report.json has true;",
        ),
        (
            ("layers", 0, "fan_in"),
            "4",
            'a report must hold a whole number as layers[0].fan_in: report.json has "4"; compile',
        ),
        (("timing",), None, "a report must hold an object as timing: report.json has null; compile"),
        (("latency", "source"), None, "a report must hold text as source: report.json has null"),
    ],
)
def test_a_wrong_value_is_named(path: tuple[Any, ...], value: Any, message: str) -> None:
    report = json.loads(json.dumps(build_report(facts())))
    with pytest.raises(InputError) as caught:
        check_report(exchanged(report, path, value))
    assert str(caught.value).startswith(message)


# ------------------------------------------------------------------------------------ weights, membranes, floorplan


def test_weights_are_counted_by_code_without_zeros() -> None:
    first = build_report(facts())["weights"][0]
    codes = np.asarray(integer_network().projections[0].connectivity.codes).ravel()
    assert (first["weights"], first["zeros"], first["bits"]) == (codes.size, np.count_nonzero(codes == 0), 4)
    shown = dict(enumerate(first["counts"], first["lowest_code"]))
    assert {c: n for c, n in shown.items() if n} == {c: n for c, n in Counter(codes.tolist()).items() if c}


def test_membranes_and_places_stand_in_text_and_page() -> None:
    report = build_report(facts())
    text, page = text_of(report), render_html(report)
    assert re.search(r"Membranes \(sample 0, 4 steps[^)]*\) *\n.*\n\S+ +1 +1 +1 +1 +0.8 *\n", text)
    assert re.search(r"Floorplan [^)]*\) *\n.*\nlayer0.bank +10 +1 +3 to 6 +1 to 5 *\n", text)
    assert "<h2>Floorplan</h2>" in page and "<title>layer0.bank, memory</title>" in page
    assert f"<figcaption>Membrane of {escape(NAMES[0])}, neuron 1</figcaption>" in page


def test_lines_below_zero_are_inside_their_drawing() -> None:
    drawn = str(lines("membrane", "time step", {"float": [-0.5, 0.5]}))
    heights = [float(point.split(",")[1]) for point in re.findall(r'points="([^"]+)"', drawn)[0].split()]
    assert heights[0] > heights[1] and all(0 <= height <= 220 for height in heights)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_table_is_wider_than_the_terminal_or_breaks_a_figure_or_name(width: int) -> None:
    report = build_report(facts())
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width, highlight=False, force_terminal=True, no_color=True))
    lines_ = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).splitlines()
    assert max(map(len, lines_)) <= width
    words = set(" ".join(lines_).split())
    for chapter in chapters(report):
        for row in chapter.rows:
            for column in (0, *chapter.numeric):
                assert len(row[column]) > 24 or set(row[column].split()) <= words, (chapter.title, row[column])
        assert all(set(heading.split()) <= words for heading in chapter.headings), chapter.title
