"""State dicts as `.pt`: the networks that they become, and what is refused."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mistakes import mistake
from spikeloom.compiler import from_snntorch
from spikeloom.compiler.cli.main import main
from spikeloom.compiler.flow.models import read_model
from spikeloom.compiler.frontends.snntorch import checkpoint
from spikeloom.compiler.ir.network import Network
from spikeloom.compiler.ir.neurons import ResetPlace
from spikeloom.compiler.studio import uploads
from spikeloom.compiler.studio.figures import Figures
from spikeloom.compiler.studio.settings import Settings, models_in, samples_in
from spikeloom.hdl.errors import ModelError, OptionError
from spikeloom.sim.simulate import simulate

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")
nn = torch.nn

State = dict[str, Any]


class Named(nn.Module):
    """Layers with names, the first ones in a layer of their own."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(5, 4), snn.Leaky(beta=0.9, init_hidden=True, **options))
        self.fc2, self.lif2 = nn.Linear(4, 3, bias=False), snn.Leaky(beta=0.8, init_hidden=True, output=True)

    def forward(self, x: torch.Tensor) -> Any:
        return self.lif2(self.fc2(self.first(x).to(x.dtype)))


def chain(**options: Any) -> nn.Sequential:
    """Two layers of which the first has neurons with these options."""
    given = {"beta": 0.9} | options
    first = snn.Leaky(**given, init_hidden=True)
    return nn.Sequential(nn.Linear(5, 4), first, nn.Linear(4, 3), snn.Leaky(0.7, init_hidden=True, output=True))


def saved(path: Path, what: Any) -> Path:
    torch.save(what, path)
    return path


def read(path: Path, **conventions: Any) -> Network:
    with pytest.warns(UserWarning, match="order of their registration"):
        return read_model(path, **conventions)


def assert_same(network: Network, expected: Network) -> None:
    """Every value is the same; names of networks may differ."""
    np.testing.assert_equal(asdict(replace(network, name=expected.name)), asdict(expected))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize(
    "make",
    [
        chain,
        lambda: chain(learn_beta=True, learn_threshold=True, reset_mechanism="zero"),
        lambda: chain(beta=torch.rand(4), threshold=torch.rand(4) + 0.5, reset_mechanism="none"),
        lambda: chain(beta=torch.tensor([0.5]), threshold=2),
        lambda: chain(beta=1.5, learn_graded_spikes_factor=True),
        Named,
        lambda: Named().double(),
    ],
)
def test_a_state_dict_is_read_as_the_module_that_it_is_of(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    module = make()
    file = saved(tmp_path / "mine.pt", module.state_dict())
    network = read(file)
    expected = from_snntorch(module, 5)
    assert network.name == "mine"
    assert_same(network, expected)
    spikes = (np.random.default_rng(1).random((4, 10, 5)) < 0.7).astype(np.uint8)
    found = simulate(network, spikes, executor="float").spikes
    inputs = torch.tensor(spikes, dtype=next(module.parameters()).dtype)
    with torch.no_grad():
        stepped = [module(inputs[:, step])[0].numpy() for step in range(10)]
    assert np.array_equal(found, np.stack(stepped, axis=1))


def test_what_a_state_dict_leaves_open_is_said(tmp_path: Path) -> None:
    module = chain(reset_delay=False)
    module[3] = snn.Leaky(0.7, init_hidden=True, output=True, reset_delay=False)
    file = saved(tmp_path / "mine.pth", module.state_dict())
    with pytest.warns(UserWarning, match="resetting one step after a spike"):
        delayed = read_model(file)
    with pytest.warns(UserWarning) as caught:
        network = read_model(file, reset_delay=False, x_max=3, x_min=-1, dialect="snntorch", dt=None)
    assert not any("resetting one step" in str(warning.message) for warning in caught)
    assert_same(network, from_snntorch(module, 5, x_max=3, x_min=-1))
    assert [population.dynamics.reset_place for population in delayed.populations] == [ResetPlace.NEXT] * 2
    with pytest.raises(OptionError, match="leave out --dialect"):
        read_model(file, dialect="norse")
    with pytest.raises(OptionError, match=r"leave out --reset$"):
        read_model(file, reset="zero")


def test_commands_take_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(tmp_path / "mine.pt", Named().state_dict())
    assert main(["inspect", str(file), "--json", "--no-reset-delay"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [layer["name"] for layer in found["populations"]] == ["first.1", "lif2"] and found["level"] == "float"
    assert "order of their registration" in err and "one step after" not in err
    assert "refers to" in mistake(capsys, "inspect", str(saved(file, nn.Linear(5, 4))))


def test_the_studio_takes_it_and_tells_what_is_taken_for_granted(tmp_path: Path) -> None:
    for name, state in (("mine.pt", Named().state_dict()), ("other.PTH", of(nn.Conv1d(1, 2, 3)))):
        torch.save(state, buffer := io.BytesIO())
        uploads.receive(tmp_path, name, len(buffer.getvalue()), io.BytesIO(buffer.getvalue()))
    assert models_in(tmp_path) == ["mine.pt", "other.pth"] and samples_in(tmp_path) == []
    figures = Figures(tmp_path)
    found = next(figures.network(Settings(model="mine.pt")))
    assert found["name"] == "mine" and "order of their registration" in found["told"][0]
    with pytest.raises(ModelError, match="'0' is a convolution"):
        next(figures.network(Settings(model="other.pth")))


def changed(tensors: State) -> State:
    """A state dict with other tensors; None leaves one out."""
    state = chain().state_dict() | tensors
    return {name: tensor for name, tensor in state.items() if tensor is not None}


def of(*layers: nn.Module) -> State:
    state: State = nn.Sequential(*layers).state_dict()
    return state


def leaky(**options: Any) -> nn.Module:
    layer: nn.Module = snn.Leaky(0.9, **options)
    return layer


NAN = torch.full((4, 5), torch.nan)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (changed({"0.weight": NAN}), "finite numbers: '0.weight'"),
        (changed({"1.beta": torch.tensor(torch.inf)}), "finite numbers: '1.beta'"),
        (changed({"0.weight": torch.zeros(4, 5).half()}), "float32 or float64: '0.weight' is float16"),
        (changed({"0.weight": torch.zeros(4, 5).double()}), "float32 or float64 as a whole"),
        (changed({"2.weight": torch.zeros(3, 7)}), "'2' takes 7 values, 4 arrive"),
        (changed({"0.weight": torch.zeros(0, 5)}), "weights are .outputs, inputs."),
        (changed({"0.bias": torch.zeros(3)}), "biases .outputs.: '0' has"),
        (changed({"1.beta": torch.zeros(3)}), "one per neuron .4.: '1.beta'"),
        (changed({"1.threshold": torch.tensor(-1.0)}), "thresholds are not negative: '1'"),
        (changed({"1.graded_spikes_factor": torch.tensor(2.0)}), "spikes are 0 or 1: '1'"),
        (changed({"1.reset_mechanism_val": torch.tensor(7)}), "one of .0, 1, 2.: '1' has 7"),
        (changed({"2.weight": None}), "'2' is a layer with 'bias'"),
        (changed({"<b>.gain": torch.zeros(1)}), "'<b>' is a layer with 'gain'"),
        (changed({"lone": torch.zeros(1)}), "'' is a layer with 'lone'"),
        (of(nn.Linear(5, 4), nn.Linear(4, 3), leaky()), "in turn, .*: '1' is out of turn"),
        (of(nn.Linear(5, 4), leaky(), nn.Linear(4, 3)), "in turn, .*: '2' is out of turn"),
        (of(leaky(), nn.Linear(5, 4), leaky()), "in turn, .*: '0' is out of turn"),
        (of(nn.Conv1d(1, 2, 3), leaky()), "'0' is a convolution; use write_nir"),
        (of(nn.Linear(5, 4), nn.BatchNorm1d(4), leaky()), "'1' is batch normalisation"),
        (of(nn.Linear(5, 4), snn.RLeaky(0.9, linear_features=4)), "'1' is recurrent neurons"),
        (of(nn.Linear(5, 4), snn.RLeaky(0.9, all_to_all=False)), "'1' is recurrent neurons"),
        (of(nn.Linear(5, 4), snn.Synaptic(0.5, 0.9)), "'1' is Synaptic or Alpha neurons"),
        ({"0.weight": torch.zeros(1).expand(1 << 20, 1 << 20)}, "at most 268,435,456 bytes: '0.weight'"),
        ({"forward.weight": torch.zeros(2, 2)} | {f"l.{n}": t for n, t in leaky().state_dict().items()}, "every nn.Mo"),
        ({"state_dict": chain().state_dict(), "epoch": 3}, "has a OrderedDict at 'state_dict'; save model.state_dict"),
        ({3: torch.zeros(1)}, "tensors by their names"),
        ({}, "an empty one"),
        ([torch.zeros(1)], "a list; save model.state_dict"),
        (nn.Sequential(nn.Linear(5, 4)), "refers to .*Sequential"),
    ],
)
@pytest.mark.filterwarnings("ignore:a state dict does not say")
def test_what_is_not_read_is_named(tmp_path: Path, state: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        read_model(saved(tmp_path / "bad.pt", state))


def repacked(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A state dict's file with other entries, `x/` before their names."""
    torch.save(chain().state_dict(), buffer := io.BytesIO())
    with zipfile.ZipFile(buffer) as archive:
        found = {f"x/{info.filename.partition('/')[2]}": archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (found | {f"x/{name}": content for name, content in entries.items()}).items():
            archive.writestr(name, content)
    return path


class Opens:
    """Would write a file if it was unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def test_files_that_mean_harm_are_refused_before_torch_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bad.pt"
    monkeypatch.setattr(checkpoint, "MAX_STATE_BYTES", 8 << 20)
    repacked(path, {}, zipfile.ZIP_DEFLATED)
    assert isinstance(read(path), Network)
    lies = pickle.dumps(OrderedDict(a=1), 2).replace(b"K\x01", b"cbuiltins\nbytearray\n")
    for entries, words in (
        ({"data.pkl": pickle.dumps(Opens(tmp_path / "made"), 2)}, "refers to io.open"),
        ({"data.pkl": pickle.dumps(Opens(tmp_path / "made"), 4)}, "names that are put together"),
        ({"data.pkl": lies}, "refers to builtins.bytearray"),
        ({"data.pkl": b"\x80\x02}q\x00(X"}, "is not"),
        ({"data.pkl": b"\x80\x02."}, "is not"),
        ({"data/0": bytes(8)}, "is not"),
        ({"constants.pkl": b""}, "TorchScript"),
        ({"more": bytes(checkpoint.MAX_STATE_BYTES)}, "unpacks to more"),
        ({"data.pkl": bytes(checkpoint.MAX_PICKLE_BYTES + 1)}, "no data.pkl"),
    ):
        with pytest.raises(ModelError, match=words):
            read_model(repacked(path, entries, zipfile.ZIP_DEFLATED))
    assert not (tmp_path / "made").exists()
    whole = repacked(path, {}).read_bytes()
    end = whole.rindex(b"PK\5\6")
    for place in (200, end + 15, end + 19):  # a byte of an entry, and where and how long the table of contents is
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ModelError, match=r"intact|zips"):
            read_model(path)
    path.write_text("weights")
    with pytest.raises(ModelError, match=r"zips: .* is none; save model.state_dict"):
        read_model(path)
    torch.save(chain().state_dict(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match=r"zips: .* is none"):
        read_model(path)
    with pytest.raises(ModelError, match="was not found"):
        read_model(tmp_path / "none.pt")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(ModelError, match=r"read safely from torch 2.10 on: this is 2.9.1"):
        read_model(path)
