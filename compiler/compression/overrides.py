"""The option `--layer NAME:KEY=VALUE[,...]`: what differs for the weights into one population."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ...hdl.errors import OptionError, quoted

if TYPE_CHECKING:
    from .recipe import Override

KEYS: dict[str, tuple[Callable[[str], Any], str]] = {
    "sparsity": (float, "a number"),
    "bits": (int, "a whole number"),
    "scheme": (str, "a name"),
}
"""The keys of `Override`, how their values are read, and what they are."""


def overrides_of(layers: Sequence[str]) -> dict[str, Override]:
    """The overrides of a recipe by population, of the texts of all `--layer` options. Raises OptionError."""
    result: dict[str, Override] = {}
    for text in layers:
        name, override = _parsed(text)
        if name in result:
            raise OptionError(f"a layer is named once: {quoted(name)} is named twice; put its options into one --layer")
        result[name] = override
    return result


def layer_texts(overrides: Mapping[str, Override]) -> list[str]:
    """The texts that `overrides_of` reads as these overrides."""
    return [
        f"{name}:" + ",".join(f"{key}={value}" for key in KEYS if (value := getattr(override, key)) is not None)
        for name, override in overrides.items()
    ]


def _parsed(text: str) -> tuple[str, Override]:
    from .recipe import Override

    name, colon, options = text.rpartition(":")
    if not (name and colon and options):
        raise OptionError(f"a layer's options are NAME:KEY=VALUE,..., such as output:bits=4: got {quoted(text)}")
    values: dict[str, Any] = {}
    for option in options.split(","):
        key, _, value = (part.strip() for part in option.partition("="))
        if key not in KEYS:
            near = get_close_matches(key, KEYS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise OptionError(f"a layer has the options {', '.join(KEYS)}: got {quoted(key)} for {quoted(name)}{hint}")
        if key in values:
            raise OptionError(f"a layer's option is given once: {key} of {quoted(name)} is given twice; leave one out")
        read, kind = KEYS[key]
        try:
            values[key] = read(value)
        except ValueError:
            raise OptionError(f"{key} is {kind}: got {quoted(value)} for the layer {quoted(name)}") from None
    try:
        return name, Override(**values)
    except OptionError as error:
        raise OptionError(f"layer {quoted(name)}: {error}") from None
