"""Imports go downwards: no room knows of one above it, and no file of one that knows of it."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bginv_jax"

# From the bottom to the top; the rooms of one floor do not know of each other.
FLOORS = (
    ("errors", "forks"),
    ("files", "jax_settings"),
    ("images", "worlds"),
    ("backgrounds",),
    ("networks",),
    ("data",),
    ("tasks",),
    ("methods",),
    ("fields",),
    ("config",),
    ("config_files",),
    ("training",),
    ("evaluation", "speed"),
    ("command_line",),
    ("train", "evaluate", "predict", "export", "attack", "unseen", "figures", "benchmark", "scaling", "gpu_study"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def _imports(path):
    """The files of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in FILES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bginv_jax"):
            names = {f"{node.module}.{name.name}" for name in node.names}
            yield from names & FILES.keys() or {node.module}


def _room(module):
    return module.split(".")[1]


@pytest.mark.parametrize("module", sorted(FILES.keys() - {"bginv_jax"}))
def test_a_room_knows_only_of_those_below_it(module):
    room = _room(module)
    above = {other for other in _imports(FILES[module]) if _room(other) != room and FLOOR[_room(other)] >= FLOOR[room]}
    assert above == set()


def test_no_files_know_of_each_other():
    graph = {module: set(_imports(path)) - {module} for module, path in FILES.items() if module != "bginv_jax"}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("door", FLOORS[-1])
def test_doors_are_thin(door):
    assert len(FILES[f"bginv_jax.{door}"].read_text(encoding="utf-8").splitlines()) <= 60


def test_tests_mirror_the_rooms():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    tests = {path.name for path in (ROOT / "tests").iterdir() if (path / "__init__.py").is_file()}
    assert tests - rooms == {"properties"}  # what holds in all rooms
    assert rooms <= tests
