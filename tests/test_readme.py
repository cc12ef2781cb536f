"""What the README names is there."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
MAPPING = TEXT[TEXT.index("## The poster in the code") :]


@pytest.mark.parametrize(
    ("module", "name"), sorted(set(re.findall(r"`((?:[a-z_]\w*\.)*[a-z_]\w*)\.([A-Za-z_]\w*)", MAPPING)))
)
def test_every_name_of_the_code_exists(module, name):
    assert hasattr(importlib.import_module(f"bginv_jax.{module}"), name)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b(?:docs|experiments)/[\w.]+\.(?:py|png|gif)\b", TEXT))))
def test_every_file_it_names_exists(path):
    assert (ROOT / path).is_file()
