"""Tensors in a file of `torch.save`, by their names: a state dict, `.pt` or `.pth`, read as hostile input.

Such a file is a zip with a pickle, which says what the tensors are, and their bytes. Sizes are bounded before anything
is unpacked, and the pickle may name nothing but what state dicts are made of, so that no object of any other class is
made. torch then reads, with `weights_only=True`, an archive of our own with the entries that were checked: whatever
else the file holds, torch's reader never sees it.
"""

from __future__ import annotations

import io
import math
import pickletools
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....hdl.errors import ModelError, listed, plain, quoted
from ....hdl.files import open_regular
from ...data.archives import COMPRESSIONS, DAMAGES, BoundedFile, first_line

if TYPE_CHECKING:
    import torch

SUFFIXES = (".pt", ".pth")

MAX_STATE_BYTES = 1 << 28
"""Of the file, of what it unpacks to, and of all tensors."""

MAX_PICKLE_BYTES = 4 << 20
"""Of what says what the tensors are: some 150 bytes for each."""

LEAST_TORCH = (2, 10)
"""Earlier readers believe sizes that the pickle declares and the bytes do not have (CVE-2026-24747)."""

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_NAMED = frozenset(
    (
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        *(f"torch {kind}Storage" for kind in _STORAGES),
    )
)
"""What the pickle of a state dict refers to."""

_ENTRIES = ("version", "byteorder", "data.pkl")

WAY_OUT = "write_nir(from_snntorch(model, input_shape=...), 'mine.nir') in Python"
_ADVICE = f"save model.state_dict(), or use {WAY_OUT}"


def is_checkpoint(path: Path) -> bool:
    """Whether a file's name says that torch wrote it."""
    return path.suffix.lower() in SUFFIXES


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a state dict in its order, dense and on the CPU. torch must be there.

    Raises ModelError, in one line, for anything that is no such file.
    """
    import torch

    if tuple(map(int, torch.__version__.split(".")[:2])) < LEAST_TORCH:
        least = ".".join(map(str, LEAST_TORCH))
        raise ModelError(
            f"files of torch.save are read safely from torch {least} on: this is {torch.__version__}; install a later "
            f"one, or use {WAY_OUT}"
        )
    archive = _checked_archive(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            state = torch.load(archive, map_location="cpu", weights_only=True, mmap=False)
        except Exception as error:  # whatever nonsense in a pickle leads to
            raise ModelError(f"a state dict is intact: {path} is not ({first_line(error)}); {_ADVICE}") from None
    return _tensors(state, path)


def _checked_archive(path: Path) -> io.BytesIO:
    """An archive with the checked entries of the file."""
    try:
        with open_regular(path, "a state dict", MAX_STATE_BYTES, ModelError) as file:
            if not zipfile.is_zipfile(file):
                raise ModelError(f"a state dict is a file of torch.save, which are zips: {path} is none; {_ADVICE}")
            with zipfile.ZipFile(BoundedFile(file)) as archive:
                return _copied(archive, path)
    except FileNotFoundError:
        raise ModelError(f"a state dict must be an existing .pt file: {path} was not found") from None
    except (NotImplementedError, RuntimeError, *DAMAGES) as error:
        raise ModelError(f"a state dict is an intact file of torch.save: {path}: {first_line(error)}") from None


def _copied(archive: zipfile.ZipFile, path: Path) -> io.BytesIO:
    infos = archive.infolist()
    if sum(info.file_size for info in infos) > MAX_STATE_BYTES:
        raise ModelError(f"a state dict has at most {MAX_STATE_BYTES:,} bytes: {path} unpacks to more")
    folder = infos[0].filename.partition("/")[0] if infos else ""
    entries = {info.filename.removeprefix(f"{folder}/"): info for info in infos}
    if len(entries) != len(infos) or any(info.compress_type not in COMPRESSIONS for info in infos):
        raise ModelError(f"a state dict is a file as torch.save writes it: {path} is packed otherwise; {_ADVICE}")
    if "constants.pkl" in entries:
        raise ModelError(f"a .pt file holds a state dict: {path} is TorchScript, a program; {_ADVICE}")
    if "data.pkl" not in entries or entries["data.pkl"].file_size > MAX_PICKLE_BYTES:
        raise ModelError(f"a .pt file holds a state dict: {path} has no data.pkl of one; {_ADVICE}")
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as written:
        for name, info in entries.items():
            if name in _ENTRIES or name.startswith("data/"):
                content = archive.read(info)
                if name == "data.pkl":
                    _check_pickle(content, path)
                written.writestr(f"archive/{name}", content)
    copy.seek(0)
    return copy


def _check_pickle(content: bytes, path: Path) -> None:
    """ModelError where it names anything that no state dict is made of. Nothing is unpickled here."""
    named: dict[str, None] = {}
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
                named["names that are put together"] = None
            elif opcode.name == "GLOBAL" and argument not in _NAMED:
                named[str(argument).replace(" ", ".")] = None
    except Exception as error:  # whatever nonsense leads to
        raise ModelError(f"a state dict is intact: {path} is not ({first_line(error)}); {_ADVICE}") from None
    if named:
        raise ModelError(f"a .pt file holds a state dict: {path} refers to {listed(named, plain, 3)}; {_ADVICE}")


def _tensors(state: Any, path: Path) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(state, dict) or not state:
        what = "an empty one" if isinstance(state, dict) else f"a {type(state).__name__}"
        raise ModelError(f"a .pt file holds a state dict: {path} is {what}; {_ADVICE}")
    size = 0
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ModelError(
                f"a state dict is tensors by their names: {path} has a {type(tensor).__name__} at {quoted(name)}; "
                f"{_ADVICE}"
            )
        size += math.prod(tensor.shape) * tensor.element_size()  # views of a few bytes may be of any shape
        if size > MAX_STATE_BYTES:
            raise ModelError(f"a state dict has at most {MAX_STATE_BYTES:,} bytes: {quoted(name)} is beyond; {_ADVICE}")
    return {name: tensor.detach() for name, tensor in state.items()}
