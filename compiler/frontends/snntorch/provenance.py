"""Where the elements of a tensor come from, followed through any code that only moves them.

Every element of an interesting tensor (an input, a layer's output) gets an identity, an integer. While a `Provenance`
is active it sees every torch function that is called. One that only moves elements (views, indexing, stacking) is
applied to the identities as well, so that afterwards any tensor can say exactly which elements it holds, in which
order. An addition of two such tensors is remembered as a `Sum`; the result of anything else is `Unknown`, by the name
of the operation. Values changed in place are found by torch's version counter.

Reading a value into Python, which a data-dependent control flow has to do, raises ModelError.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.overrides import TorchFunctionMode

from ....hdl.errors import ModelError
from .layers import LayerCall, layer_call

Ids = npt.NDArray[np.int64]

CONSTANT = -1
"""The identity of elements that come from nowhere interesting."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_JOINS = _names("stack cat concat concatenate hstack vstack")
"""Moves that take elements from several tensors."""

_MOVES = _JOINS | _names(
    "view reshape flatten unflatten ravel squeeze unsqueeze transpose swapaxes swapdims permute movedim moveaxis t T "
    "mT contiguous clone detach detach_ requires_grad_ data select narrow index_select unbind split chunk tensor_split "
    "expand expand_as broadcast_to repeat tile view_as reshape_as flip roll"
)
"""Functions whose results are elements of their arguments."""

_CASTS = _names("to float double type type_as cpu")
_ADDS = _names("add add_ __add__ __radd__ __iadd__")
_DROPOUTS = _names("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout")
_KEEPS = _CASTS | _DROPOUTS
"""Functions that keep every element in its place, on the conditions of `_keeps`."""

_SHAPED_LIKE = _names(
    "zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty"
)
"""Functions that take a tensor for its shape only."""

_READS = _names(
    "__bool__ __int__ __float__ __index__ __complex__ __array__ __contains__ item tolist numpy is_nonzero equal "
    "allclose"
)
"""Functions that carry values out of torch."""


@dataclass(frozen=True, eq=False)
class Sum:
    """Elements that are the sums of two others each: the identities of the terms, flat."""

    terms: tuple[Ids, Ids]


@dataclass(frozen=True, eq=False)
class Unknown:
    """Elements that an operation computed which is neither a move nor a sum, and the scope in which it did."""

    operation: str
    scope: Any = None


@dataclass(frozen=True, eq=False)
class Origin:
    """The owner of the identities `base`, `base + 1`, ... of one marked tensor, in row-major order."""

    owner: Any
    base: int
    size: int


class Provenance(TorchFunctionMode):
    """Follows marked tensors through the torch functions that are called while it is active and not `paused`.

    The last of `scopes` is kept with what comes out of unknown operations.
    """

    def __init__(self) -> None:
        super().__init__()
        self.paused = False
        self.scopes: list[Any] = []
        self._origins: list[Origin] = []
        self._next = 0
        self._tracked: dict[int, tuple[torch.Tensor, torch.Tensor, int]] = {}

    def mark(self, tensor: torch.Tensor, owner: Any) -> Origin:
        """Give the elements of `tensor` new identities that belong to `owner`."""
        origin = Origin(owner, self._next, tensor.numel())
        self._next += origin.size
        self._origins.append(origin)
        self._track(tensor, torch.arange(origin.base, self._next).reshape(tensor.shape))
        return origin

    def ids(self, tensor: torch.Tensor) -> Ids:
        """The identities of the elements of `tensor`, in its shape."""
        return self._ids(tensor).numpy()

    def origin(self, identity: int) -> Origin | None:
        """The origin of an element, None for a constant."""
        if identity == CONSTANT:
            return None
        return self._origins[bisect.bisect_right(self._origins, identity, key=lambda origin: origin.base) - 1]

    def origins(self, ids: Ids) -> list[Origin | None]:
        """The origins of all these elements, once each in the order of their identities; None for constants."""
        bases = [origin.base for origin in self._origins]
        found = np.unique(np.searchsorted(bases, ids, side="right") - 1)
        return [None if index < 0 else self._origins[index] for index in found]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        name = _name(func)
        tracked = [t for t in tensors_in((args, kwargs)) if id(t) in self._tracked]
        if tracked and name in _READS:
            raise ModelError(
                f"forward may not depend on the values of its tensors: it calls Tensor.{name}; "
                "remove the data-dependent control flow"
            )
        before = [self._ids(t) for t in tracked]  # an operation in place changes the version
        result = func(*args, **kwargs)
        if tracked and name not in _SHAPED_LIKE:
            known = {id(t): ids for t, ids in zip(tracked, before, strict=True)}
            self._follow(name, func, args, kwargs, known, result)
        return result

    def _follow(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        known: dict[int, torch.Tensor],
        result: Any,
    ) -> None:
        if name == "__setitem__":
            self._assigned(func, args, known)
        elif name in _MOVES or (name == "__getitem__" and id(args[0]) in known and len(known) == 1):
            moved = func(*_replaced(args, known, name in _JOINS), **_replaced(kwargs, known, name in _JOINS))
            for tensor, ids in zip(tensors_in(result), tensors_in(moved), strict=True):
                self._track(tensor, ids)
        elif name in _KEEPS and args and id(args[0]) in known and _keeps(name, args, kwargs, result):
            self._track(result, known[id(args[0])])
        elif name in _ADDS and isinstance(result, torch.Tensor):
            self._added(name, args, kwargs, known, result)
        elif (call := self._layer(name, args, kwargs, known)) is not None:
            self.mark(result, call)
        else:
            for tensor in tensors_in(result):
                self.mark(tensor, self._unknown(name))

    def _assigned(self, func: Callable[..., Any], args: tuple[Any, ...], known: dict[int, torch.Tensor]) -> None:
        """`target[index] = value`: the target holds the value's elements there."""
        target, index, value = args
        if any(id(t) in known for t in tensors_in(index)):
            self.mark(target, self._unknown("__setitem__"))
            return
        ids = known[id(target)].clone() if id(target) in known else torch.full(target.shape, CONSTANT)
        func(ids, index, known.get(id(value), torch.tensor(CONSTANT)))
        self._track(target, ids)

    def _added(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        known: dict[int, torch.Tensor],
        result: torch.Tensor,
    ) -> None:
        terms = [*args, *(kwargs[key] for key in ("input", "other") if key in kwargs)]
        ids = [known.get(id(t), torch.tensor(CONSTANT)).expand(result.shape) for t in tensors_in(terms)]
        if len(terms) == len(ids) == 2 and kwargs.get("alpha", 1) == 1:
            self.mark(result, Sum((ids[0].reshape(-1).numpy(), ids[1].reshape(-1).numpy())))
        elif len(ids) == 1 and any(isinstance(term, int | float) and term == 0 for term in terms):
            self._track(result, ids[0])  # Python's sum() starts at 0
        else:
            self.mark(result, self._unknown(name))

    def _layer(
        self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], known: dict[int, torch.Tensor]
    ) -> LayerCall | None:
        """The call of a layer that is read (`layers`), on one tensor that is followed."""
        given = [t for t in tensors_in((args, kwargs)) if id(t) in known]
        if len(given) != 1:
            return None
        name = self.scopes[-1].name if self.scopes else function
        return layer_call(function, name, args, kwargs, given[0], known[id(given[0])].numpy())

    def _unknown(self, operation: str) -> Unknown:
        return Unknown(operation, self.scopes[-1] if self.scopes else None)

    def _track(self, tensor: torch.Tensor, ids: torch.Tensor) -> None:
        self._tracked[id(tensor)] = (tensor, ids, _version(tensor))

    def _ids(self, tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in self._tracked:
            return torch.full(tensor.shape, CONSTANT)
        _, ids, version = self._tracked[id(tensor)]
        if version != _version(tensor):
            self.mark(tensor, self._unknown("an operation in place"))
            return self._tracked[id(tensor)][1]
        return ids


def _name(func: Callable[..., Any]) -> str:
    """A function's name; for the getter of a property such as `Tensor.T`, the property's."""
    name = getattr(func, "__name__", type(func).__name__)
    return getattr(func.__self__, "__name__", name) if name == "__get__" else name  # type: ignore[attr-defined]


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in nested tuples, lists and dictionaries."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


def _replaced(value: Any, known: dict[int, torch.Tensor], constants: bool) -> Any:
    """`value` with identities in place of tensors; of unknown ones too where `constants`."""
    if isinstance(value, torch.Tensor):
        if id(value) in known:
            return known[id(value)]
        return torch.full(value.shape, CONSTANT) if constants else value
    if isinstance(value, dict):
        return {key: _replaced(item, known, constants) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_replaced(item, known, constants) for item in value)
    return value


def _keeps(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: torch.Tensor) -> bool:
    """Whether a cast gives a float type, or a dropout(input, p, training, inplace) drops nothing."""
    if name in _CASTS:
        return result.is_floating_point()
    return not (args[2] if len(args) > 2 else kwargs.get("training", True))
