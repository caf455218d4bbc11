"""CubaLIF in the front ends: snnTorch's Synaptic and NIR's CubaLIF nodes fire as their frameworks do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.compiler.frontends.nir.reader import read_nir
from spikeloom.compiler.frontends.nir.writer import write_nir
from spikeloom.compiler.frontends.snntorch.frontend import from_snntorch
from spikeloom.compiler.ir.neurons import CubaLI, CubaLIF, Drive, ResetMode, ResetPlace
from spikeloom.compiler.lowering.quantise import quantise
from spikeloom.compiler.plan.plan import make_plan
from spikeloom.hdl.errors import ModelError
from spikeloom.sim.amaranth_executor import run_amaranth
from spikeloom.sim.float_executor import run_float
from spikeloom.sim.reference import run_reference

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")
nn = torch.nn

RESETS: dict[str, tuple[dict[str, Any], ResetMode, ResetPlace]] = {
    "subtract": ({"reset_mechanism": "subtract"}, ResetMode.SUBTRACT, ResetPlace.NEXT),
    "subtract at once": (
        {"reset_mechanism": "subtract", "reset_delay": False},
        ResetMode.SUBTRACT,
        ResetPlace.SNNTORCH_SAME,
    ),
    "zero at once": ({"reset_mechanism": "zero", "reset_delay": False}, ResetMode.VALUE, ResetPlace.SAME),
    "none": ({"reset_mechanism": "none"}, ResetMode.NONE, ResetPlace.SAME),
}


def spikes(samples: int = 30, steps: int = 50, inputs: int = 10, x_max: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = (samples, steps, inputs)
    return (rng.integers(1, x_max + 1, shape) * (rng.random(shape) < 0.3)).astype(np.uint8)


def module(per_neuron: bool = False, **reset: Any) -> Any:
    torch.manual_seed(1)
    layers: list[Any] = []
    for pre, post in ((10, 16), (16, 4)):
        linear = nn.Linear(pre, post)
        with torch.no_grad():
            linear.weight *= 2
        alpha, beta = (torch.rand(post), torch.rand(post)) if per_neuron else (0.7, 0.85)
        layers += [linear, snn.Synaptic(alpha=alpha, beta=beta, threshold=0.9, init_hidden=True, **reset)]
    return nn.Sequential(*layers)


def clear(net: Any) -> None:
    for layer in net.modules():
        if isinstance(layer, snn.Synaptic):
            layer.syn, layer.mem = torch.zeros(0), torch.zeros(0)


def run(net: Any, data: np.ndarray) -> np.ndarray:
    clear(net)
    with torch.no_grad():
        return torch.stack([net(torch.from_numpy(data[:, t]).float()) for t in range(data.shape[1])], 1).numpy()


# ----------------------------------------------------------------------------------------------------- snnTorch


@pytest.mark.parametrize("x_max", [1, 3])
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("reset", RESETS)
def test_synaptic_fires_spike_for_spike(reset: str, per_neuron: bool, x_max: int) -> None:
    options, mode, place = RESETS[reset]
    net = module(per_neuron, **options)
    network = from_snntorch(net, (10,), x_max=x_max)
    dynamics = network.populations[0].dynamics
    assert isinstance(dynamics, CubaLIF)
    assert (dynamics.reset_mode, dynamics.reset_place, dynamics.drive) == (mode, place, Drive.NEW)
    data = spikes(x_max=x_max)
    recording = run_float(network, data)
    assert np.array_equal(recording.spikes, run(net, data))
    assert 0.01 < recording.spikes.mean() < 0.99


class Loop(nn.Module):
    """A loop over steps with states that are passed on."""

    def __init__(self, change: Callable[[Any, Any], tuple[Any, Any]] | None = None) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.fc1, self.cuba = nn.Linear(10, 8), snn.Synaptic(alpha=0.6, beta=0.9)
        self.fc2, self.lif = nn.Linear(8, 3), snn.Leaky(0.8)
        with torch.no_grad():
            self.fc1.weight *= 3
            self.fc2.weight *= 3
        self.change = change

    def forward(self, x: Any) -> Any:
        syn, mem1 = self.cuba.reset_mem()
        mem2 = self.lif.reset_mem()
        fired = []
        for now in x:
            if self.change is not None:
                syn, mem1 = self.change(syn, mem1)
            spk1, syn, mem1 = self.cuba(self.fc1(now), syn, mem1)
            spk2, mem2 = self.lif(self.fc2(spk1), mem2)
            fired.append(spk2)
        return torch.stack(fired)


def test_loops_with_passed_states_and_mixed_neurons() -> None:
    net, data = Loop(), spikes()
    network = from_snntorch(net, (10,))
    assert [type(p.dynamics).__name__ for p in network.populations] == ["CubaLIF", "LIF"]
    clear(net)
    net.lif.mem = torch.zeros(0)
    with torch.no_grad():
        expected = net(torch.from_numpy(data).float().transpose(0, 1)).transpose(0, 1).numpy()
    assert np.array_equal(run_float(network, data).spikes, expected) and expected.any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda syn, mem: (syn * 0.5, mem), "synaptic currents"),
        (lambda syn, mem: (syn, mem * 0.5), "membranes"),
        (lambda syn, mem: (mem, syn), "synaptic currents"),
    ],
)
def test_states_that_are_changed_on_the_way_are_refused(change: Any, words: str) -> None:
    with pytest.raises(ModelError, match=f"continues from its own {words}: 'cuba'"):
        from_snntorch(Loop(change), (10,))


def test_what_synaptic_does_otherwise_is_refused() -> None:
    with pytest.raises(ModelError, match=r"also loses that step's current.*'1' does"):
        from_snntorch(module(reset_mechanism="zero"), (10,))
    with pytest.raises(ModelError, match="inhibition"):
        from_snntorch(module(inhibition=True), (10,))


class Leaking(Loop):
    """Gives the next layer synaptic currents."""

    def forward(self, x: Any) -> Any:
        syn, mem1 = self.cuba.reset_mem()
        mem2 = self.lif.reset_mem()
        fired = []
        for now in x:
            _, syn, mem1 = self.cuba(self.fc1(now), syn, mem1)
            spk2, mem2 = self.lif(self.fc2(syn), mem2)
            fired.append(spk2)
        return torch.stack(fired)


def test_synaptic_currents_are_no_spikes() -> None:
    with pytest.raises(ModelError, match="receives synaptic currents of 'cuba'"):
        from_snntorch(Leaking(), (10,))


# ---------------------------------------------------------------------------------------------------------- NIR


@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("reset", ["subtract", "subtract at once", "zero at once"])
def test_snntorchs_export_fires_as_the_module(reset: str, per_neuron: bool, tmp_path: Path) -> None:
    import nir
    from snntorch.export_nir import export_to_nir

    options = RESETS[reset][0]
    net = module(per_neuron, **options)
    for layer in net:
        if isinstance(layer, snn.Synaptic):  # the export needs parameters per neuron
            size = 16 if layer is net[1] else 4
            for name in ("alpha", "beta", "threshold"):
                value = getattr(layer, name).expand(size).clone()
                setattr(layer, name, nn.Parameter(value) if name == "threshold" else value)
    net[1].beta[3] = 1.0  # no leak
    nir.write(tmp_path / "n.nir", export_to_nir(net, torch.zeros(1, 10), ignore_dims=[0]))
    network = read_nir(
        tmp_path / "n.nir",
        dialect="snntorch",
        reset=options["reset_mechanism"],
        reset_delay=options.get("reset_delay", True),
    )
    assert [type(p.dynamics) for p in network.populations] == [CubaLIF, CubaLIF]
    recording = run_float(network, spikes())
    different = int(np.count_nonzero(recording.spikes != run(net, spikes())))
    assert different == 0 and recording.spikes.any()
    with pytest.raises(ModelError, match="also loses that step's current"):
        read_nir(tmp_path / "n.nir", dialect="snntorch", reset="zero", reset_delay=True)


@pytest.mark.parametrize("resting", [0.0, 0.25])
def test_norses_export_fires_as_its_cells(resting: float, tmp_path: Path) -> None:
    norse = pytest.importorskip("norse.torch")
    import nir

    torch.manual_seed(3)
    cells: list[Any] = []
    for pre, post in ((10, 16), (16, 4)):
        linear = nn.Linear(pre, post)
        with torch.no_grad():
            linear.weight *= 8
        parameters = norse.LIFParameters(
            tau_syn_inv=torch.full((post,), 300.0),
            tau_mem_inv=torch.empty(post).uniform_(80.0, 200.0),
            v_leak=torch.full((post,), resting),
            v_th=torch.full((post,), 0.6),
            v_reset=torch.zeros(post),
        )
        cells += [linear, norse.LIFCell(parameters)]
    graph = norse.to_nir(norse.SequentialState(*cells), torch.zeros(1, 10))
    nir.write(tmp_path / "n.nir", graph, compression=None)
    network = read_nir(tmp_path / "n.nir", dialect="norse")
    assert all(isinstance(p.dynamics, CubaLIF) for p in network.populations)
    data, states = torch.from_numpy(spikes()).float(), [None, None]
    fired = []
    with torch.no_grad():
        for step in range(data.shape[1]):
            hidden, states[0] = cells[1](cells[0](data[:, step]), states[0])
            output, states[1] = cells[3](cells[2](hidden), states[1])
            fired.append(output)
    recording = run_float(network, spikes())
    assert np.array_equal(recording.spikes, torch.stack(fired, 1).numpy()) and recording.spikes.any()


def test_quantised_synaptic_networks_run_on_the_reference_and_in_hardware(tmp_path: Path) -> None:
    network = from_snntorch(module(), (10,))
    integer = quantise(network, 8, spikes())
    real, whole = run_float(network, spikes()), run_reference(integer, spikes())
    assert np.mean(real.spikes != whole.spikes) < 0.05
    write_nir(integer, tmp_path / "n.nir")
    assert np.array_equal(run_reference(read_nir(tmp_path / "n.nir"), spikes()).spikes, whole.spikes)
    few = spikes()[:2, :12]
    assert np.array_equal(run_amaranth(make_plan(integer), few).spikes, whole.spikes[:2, :12])


# ------------------------------------------------------------------------------------------------------- CubaLI


def with_readout(folder: Path) -> tuple[Any, Path]:
    """A module whose last neurons reset nothing, and its export in which these are a CubaLI."""
    import nir
    from snntorch.export_nir import export_to_nir

    net = module(**RESETS["zero at once"][0])
    net[3] = snn.Synaptic(
        alpha=torch.full((4,), 0.6), beta=torch.full((4,), 0.9), threshold=torch.full((4,), 1e6), init_hidden=True,
        reset_mechanism="none", output=True,
    )  # fmt: skip
    for name in ("alpha", "beta", "threshold"):
        setattr(net[1], name, torch.full((16,), float(getattr(net[1], name))))
    graph = export_to_nir(net, torch.zeros(1, 10), ignore_dims=[0])
    last = graph.nodes["3"]
    fields = {name: getattr(last, name) for name in ("tau_syn", "tau_mem", "r", "v_leak", "w_in")}
    graph.nodes["3"] = nir.CubaLI(**fields)
    nir.write(folder / "n.nir", graph, compression=None)
    return net, folder / "n.nir"


def test_a_readout_of_synaptic_currents_has_the_frameworks_membranes(tmp_path: Path) -> None:
    net, file = with_readout(tmp_path)
    network = read_nir(file, dialect="snntorch", reset="zero", reset_delay=False)
    assert [type(p.dynamics) for p in network.populations] == [CubaLIF, CubaLI]
    assert network.reading.of_membranes
    clear(net)
    data = torch.from_numpy(spikes()).float()
    with torch.no_grad():
        wanted = torch.stack([net(data[:, t])[2] for t in range(data.shape[1])], 1).numpy()
    membranes = run_float(network, spikes(), membranes=True).membranes
    assert membranes is not None and np.allclose(membranes, wanted, rtol=1e-5, atol=1e-5) and np.ptp(wanted) > 1


@pytest.mark.parametrize("dialect", ["nir", "sinabs"])
def test_a_readout_of_synaptic_currents_needs_a_dialect_that_has_one(dialect: str, tmp_path: Path) -> None:
    import nir

    ones = np.ones(2)
    readout = nir.CubaLI(tau_syn=ones, tau_mem=ones, r=ones, v_leak=0 * ones)
    nir.write(tmp_path / "n.nir", nir.NIRGraph.from_list(nir.Linear(np.ones((2, 3))), readout), compression=None)
    with pytest.raises(ModelError, match=f"CubaLI nodes are read as Lava, .* comes with the dialect '{dialect}'"):
        read_nir(tmp_path / "n.nir", dialect=dialect, dt=0.1)


def test_a_readout_of_synaptic_currents_goes_to_hardware_and_into_files(tmp_path: Path) -> None:
    network = read_nir(with_readout(tmp_path)[1], dialect="snntorch", reset="zero", reset_delay=False)
    write_nir(network, tmp_path / "float.nir")
    integer = quantise(read_nir(tmp_path / "float.nir"), 8, spikes())
    real, whole = (run(n, spikes(), membranes=True) for run, n in ((run_float, network), (run_reference, integer)))
    assert np.mean(real.predicted != whole.predicted) < 0.15
    write_nir(integer, tmp_path / "integer.nir")
    read = read_nir(tmp_path / "integer.nir")
    few = spikes()[:2, :12]
    hardware = run_amaranth(make_plan(read), few, membranes=True)
    assert whole.membranes is not None and hardware.membranes is not None
    assert np.array_equal(hardware.membranes, whole.membranes[:2, :12])
