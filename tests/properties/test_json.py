"""JSON that is read again: records, and what a checkpoint notes of its run."""

import json

import jax
from hypothesis import given
from hypothesis import strategies as st

from bginv_jax import config as configs
from bginv_jax import files
from bginv_jax.data.dataset import Description
from bginv_jax.evaluation import model_card
from bginv_jax.evaluation.records import is_score
from bginv_jax.methods.registry import make_method
from bginv_jax.training.same_run import noted
from tests.properties.cases import attempt, times
from tests.properties.damage import changed_json, json_bytes, json_values

RECORD = {
    "dataset": "mnist", "method": "vanilla", "seed": 0, "background": "none", "correct": 5, "count": 10,
    "accuracy": 50.0, "measure": "accuracy", "larger_is_better": True, "test": "field",
}  # fmt: skip
DESCRIPTION = Description("idx:tiny", (12, 12, 1), 16, ("a", "b", "c"), 48, 21, "0" * 64)


def _meta():
    config = configs.default_config()
    config.method, config.schedule = "vanilla", ("f:1",)
    origin = {"command": "python", "commit": None, "versions": {"jax": "1"}, "devices": "1 cpu"}
    return {"config": config.to_dict(), "dataset": DESCRIPTION.to_json(), "origin": origin}


META = json.loads(json.dumps(_meta()))


@given(st.lists(json_bytes(RECORD), max_size=4))
@times(1)
def test_any_records(folder, lines):
    path = folder / "results.jsonl"
    path.write_bytes(b"\n".join(lines))

    def read():
        fields = {"dataset": str, "method": str, "seed": int, "background": str}
        records = files.read_json_lines(path, fields=fields)
        files.write_json_lines(folder / "again.jsonl", records)
        return model_card._scores([record for record in records if is_score(record)], "x")

    attempt("results.jsonl", read)


@given(changed_json(META) | json_values())
@times(1)
def test_any_meta_of_a_checkpoint(meta):
    def read():
        known = noted(meta)
        method = make_method(known.config, known.description)
        if known.description.size <= 64 and known.config.method == "vanilla":
            jax.eval_shape(method.init, jax.random.key(0))
        return known

    known = attempt("meta of checkpoints", read)
    if known is not None:
        assert Description.from_json(known.description.to_json()) == known.description
