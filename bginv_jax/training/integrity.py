"""Checksums over what a checkpoint holds: every array, and the meta beside them; Orbax's format has none of its own.

They lie in the meta: `checksums` is {"arrays": {path: [type, shape, SHA-256]}, "meta": SHA-256 of all else}.
"""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bginv_jax import config as configs
from bginv_jax.errors import InputError

CHECKSUMS = "checksums"
_KEYS_BEFORE = {"config", "dataset", "origin"}  # of the meta, when there were no checksums
_NEEDED = ("config", "dataset")


class DamagedError(Exception):
    """What was read is not what was written; the message says where."""


@jax.jit
def is_finite(tree: Any) -> jax.Array:
    """Whether every float of a tree is."""
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in floats])) if floats else jnp.array(True)


def _leaves(tree: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _kind(leaf: Any) -> list:
    return [str(leaf.dtype), list(leaf.shape)]


def _digest(leaf: jax.Array) -> list:
    raw = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    values = np.ascontiguousarray(np.asarray(raw))
    return [*_kind(leaf), hashlib.sha256(values.reshape(-1).view(np.uint8).data).hexdigest()]


def digests(tree: Any) -> dict[str, list]:
    """[type, shape, SHA-256] of each array of a tree, keys of random numbers too, by its path."""
    leaves = _leaves(tree)
    with ThreadPoolExecutor() as pool:  # hashing holds no lock of Python
        return dict(zip(leaves, pool.map(_digest, leaves.values()), strict=True))


def _meta_digest(meta: Mapping[str, Any]) -> str:
    known = {name: value for name, value in meta.items() if name != CHECKSUMS}
    arrays = meta.get(CHECKSUMS, {}).get("arrays")
    return hashlib.sha256(json.dumps([known, arrays], sort_keys=True).encode()).hexdigest()


def seal(meta: Mapping[str, Any], arrays: Mapping[str, list]) -> dict[str, Any]:
    """The meta, as JSON values, with checksums of `digests` and one over itself."""
    sealed = json.loads(json.dumps({**meta, CHECKSUMS: {"arrays": arrays}}))
    sealed[CHECKSUMS]["meta"] = _meta_digest(sealed)
    return sealed


def sealed_again(meta: Mapping[str, Any]) -> dict[str, Any]:
    """A meta that was changed, with the checksum of what it is now; one that had none stays without."""
    return seal(meta, meta[CHECKSUMS]["arrays"]) if CHECKSUMS in meta else dict(meta)


def check_meta(meta: Any) -> bool:
    """Whether a meta that was read has checksums; those of earlier versions have none.

    Raises:
      DamagedError: if it is not what was written.
    """
    if not isinstance(meta, dict) or not all(isinstance(meta.get(name), dict) for name in _NEEDED):
        raise DamagedError("its meta is none")
    if CHECKSUMS not in meta:
        if not meta.keys() <= _KEYS_BEFORE:  # the name itself was hit
            raise DamagedError("its checksums are missing")
        return False
    checksums = meta[CHECKSUMS]
    if not isinstance(checksums, dict) or checksums.keys() != {"arrays", "meta"}:
        raise DamagedError("its checksums are none")
    if _meta_digest(meta) != checksums["meta"]:
        raise DamagedError("its meta is not what was written: another checksum")
    return True


def check_kinds(tree: Any, meta: Mapping[str, Any], *, partial: bool) -> str:
    """What a tree of arrays or shapes asks for and an intact checkpoint has not, in words, or "".

    Args:
      tree: what is to be read.
      meta: after `check_meta`, with checksums.
      partial: whether the checkpoint may hold more.
    """
    held, asked = meta[CHECKSUMS]["arrays"], _leaves(tree)
    for path, leaf in asked.items():
        if path not in held:
            return f"it has no {path}"
        if held[path][:2] != _kind(leaf):
            return f"its {path} is {_words(*held[path][:2])}; expected {_words(*_kind(leaf))}"
    more = "" if partial else next((path for path in held if path not in asked), "")
    return f"it has a {more}, which nothing asks for" if more else ""


def _words(dtype: str, shape: list[int]) -> str:
    return f"{dtype} ({', '.join(map(str, shape))})"


def are_like(tree: Any, shapes: Any) -> bool:
    """Whether a tree that was read holds arrays, and those that were asked for."""
    found, asked = _leaves(tree), _leaves(shapes)
    return found.keys() == asked.keys() and all(
        isinstance(leaf, jax.Array) and _kind(leaf) == _kind(asked[path]) for path, leaf in found.items()
    )


def check_arrays(tree: Any, meta: Mapping[str, Any]) -> None:
    """Compares arrays that were read with their checksums.

    Raises:
      DamagedError: names the first array that is not what was written, and how many there are.
    """
    held = meta[CHECKSUMS]["arrays"]
    wrong = [path for path, found in digests(tree).items() if held.get(path) != found]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise DamagedError(f"{wrong[0]}{more} is not what was written: another checksum")


def made_by(meta: Mapping[str, Any]) -> str:
    """Which version wrote a checkpoint, in words; what an earlier one wrote may be damaged."""
    origin = meta.get("origin")
    origin = origin if isinstance(origin, dict) else {}
    versions = origin.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    known = [f"commit {origin['commit']}"] if origin.get("commit") else []
    names = [name for name in ("bginv_jax", "jax", "orbax-checkpoint") if versions.get(name, "unknown") != "unknown"]
    known += [f"{name} {versions[name]}" for name in names]
    return f"the version that made it ({', '.join(known) or 'it does not say which'})"


def check_fields(meta: Mapping[str, Any], name: str) -> None:
    """Refuses the checkpoint `name` if its config has fields that this version does not know.

    Raises:
      InputError: names the fields, and the version.
    """
    unknown = configs.flatten(meta["config"]).keys() - configs.FIELDS.keys()
    if unknown:
        fields = ", ".join(f"config.{name}" for name in sorted(unknown))
        raise InputError(f"{name} holds {fields}, which this version does not know; expected {made_by(meta)}")
