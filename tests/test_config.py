"""A wrong field is refused with its name, its value and what is allowed; experiments are valid."""

import runpy
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from bginv_jax import config as configs
from bginv_jax.backgrounds import families

FOLDER = Path(__file__).parents[1] / "experiments"
EXPERIMENTS = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_valid_and_says_how_to_run_it(path):
    module = runpy.run_path(str(path))
    if "get_config" in module:
        configs.validate(module["get_config"]())
        assert f"--config=experiments/{path.name}" in module["__doc__"]
    else:
        assert f"python experiments/{path.name}" in module["__doc__"]


def test_every_variant_of_the_ablation_is_valid():
    ablation = runpy.run_path(str(FOLDER / "ablation.py"))
    ours = configs.flatten(ablation["get_config"]())
    for variant, changes in ablation["VARIANTS"].items():
        config = ablation["get_config"](variant)
        config.background.photographs = "somewhere" if config.background.pictured_share else ""
        configs.validate(config)
        changed = {name for name, value in configs.flatten(config).items() if value != ours[name]}
        assert changed <= changes.keys() | {"background.photographs", "steps"}
        assert (variant == "ours") == (not changes)
    with pytest.raises(ValueError, match="ablation.py:halo is unknown; the variants are ours, background=black"):
        ablation["get_config"]("halo")


def test_no_ingredient_trains_on_the_families_of_its_fold():
    ingredients = runpy.run_path(str(FOLDER / "ingredients.py"))
    for variant in ingredients["VARIANTS"]:
        for fold, names in enumerate(families.FOLDS):
            config = ingredients["get_config"](f"{variant},{fold}")
            configs.validate(config)
            assert not set(config.background.families) & {*names, *families.REPORT}
            assert len(config.background.families) == (0 if variant == "no families" else 8)
    with pytest.raises(ValueError, match="ingredients.py:ours,3 is unknown; VARIANT,FOLD with FOLD 0 to 2 and ours, "):
        ingredients["get_config"]("ours,3")


def test_the_hardened_recipes_never_train_on_what_is_reported():
    for name in ("mnist_best", "studio_proposal", "single_source"):
        config = runpy.run_path(str(FOLDER / f"{name}.py"))["get_config"]()
        assert set(config.background.families) == set(families.DEVELOPMENT)
        assert config.background.photographs == ""
        assert config.mask.kind == "learned"


def test_every_row_of_leaves_is_valid_and_sees_studio_pictures_alone():
    leaves = runpy.run_path(str(FOLDER / "leaves.py"))
    for row in leaves["ROWS"]:
        config = leaves["get_config"](row)
        configs.validate(config)
        assert row.startswith(config.method)
        assert config.background.photographs == ""
        assert set(config.background.families) <= set(families.DEVELOPMENT)
        assert config.data.masks == ()
    with pytest.raises(ValueError, match="the row is 'field'; allowed: proposal, vanilla, attention"):
        leaves["get_config"]("field")


def test_the_posters_recipe_has_the_authors_settings_and_defects():
    for method, phases in (("vanilla", 1), ("attention", 2), ("proposal", 3)):
        config = runpy.run_path(str(FOLDER / f"poster_{method}.py"))["get_config"]()
        assert (config.method, config.batch_size, config.steps) == (method, 8, phases * 100 * 60_000 // 8)
        assert (config.rate.f, config.rate.f_m, config.rate.f_b, config.rate.decay) == (1e-3, 1e-5, 1e-5, "constant")
        assert config.augment.flip
        assert not config.mask.aligned
        assert config.mask.halo == config.background.plain_share == 0


def test_a_recipe_of_the_table_is_its_three_configs():
    make_configs = runpy.run_path(str(FOLDER / "table1.py"))["make_configs"]
    found = make_configs("mnist", [4, 5], "/data", 0.5)
    assert list(found) == ["vanilla", "attention", "proposal"]
    assert [config.steps for config in found.values()] == [1000, 1600, 6500]
    for config in found.values():
        configs.validate(config)
        assert config.seeds == (4, 5)
        assert config.data.dir == "/data"
    assert make_configs("mnist_5k", [3], None, 1.0)["proposal"].seeds == ()
    known = "breakout, catch, fashion, mnist, mnist_5k, poster, rotation, studio"
    with pytest.raises(ValueError, match=f"--recipe is 'nothing'; allowed: {known}$"):
        make_configs("nothing", [0], None, 1.0)


def test_the_defaults_are_valid_and_described():
    configs.validate(configs.default_config())
    description = configs.describe()
    for name, field in configs.FIELDS.items():
        assert f"  {name} " in description
        assert field.meaning in description


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("method", "proposals", r"config.method is 'proposals'; allowed: one of vanilla, attention, proposal"),
        ("seed", -1, r"config.seed is -1; allowed: an integer from 0 to"),
        ("batch_size", 0, r"config.batch_size is 0; allowed: an integer of at least 1"),
        ("steps", 10**30, r"config.steps is 10+; allowed: an integer of at least 1 and below 2\*\*31"),
        ("muon", ("f", "f"), r"config.muon is \('f', 'f'\); allowed: a tuple of names .*, each once"),
        ("classifier_views", (True,), r"config.classifier_views is \(True,\); allowed: a tuple of up to 9 numbers"),
        ("muon", ("f_l",), r"config.muon is \('f_l',\); allowed: method proposal trains f, f_m, f_b"),
        ("weight_decay", float("inf"), r"config.weight_decay is inf; allowed: a number of at least 0.0 and"),
        ("mask.area_weight", 1e39, r"config.mask.area_weight is 1e\+39; allowed: a number of at least 0.0 and below"),
        ("schedule", ("f:1", "f_m:" + "9" * 400), r"config.schedule is .* and positive shares"),
        ("steps", 2, r"config.steps is 2; allowed: at least one for each of the 3 phases"),
        ("checkpoint_keep_every", 300, r"config.checkpoint_keep_every is 300; allowed: 0, or a multiple of .*, 500"),
        ("rate.f", -0.1, r"config.rate.f is -0.1; allowed: a number from 0.0 to 1.0"),
        ("rate.f", float("nan"), r"config.rate.f is nan; allowed: a number"),
        ("rate.decay", "linear", r"config.rate.decay is 'linear'; allowed: one of constant, cosine"),
        (
            "schedule",
            ("f:1", "g:2"),
            r"config.schedule is \('f:1', 'g:2'\); allowed: method proposal trains f, f_m, f_b",
        ),
        ("schedule", ("f:1", "f_l:2"), r"config.schedule .* method proposal trains f, f_m, f_b"),
        ("schedule", ("f:1", "f+f_b:2"), r"config.schedule .* f_m trains before or with f_b"),
        ("schedule", ("f:1", "f+f_b:2", "f_m:1"), r"config.schedule .* f_m trains before or with f_b"),
        ("schedule", ("f",), r"config.schedule is \('f',\); allowed: a tuple of strings"),
        ("task", "q_learning", r"config.task is 'q_learning'; allowed: another .* with config.data.source mnist_5k"),
        ("data.source", "world:catch", r"config.task is 'classification'; allowed: q_learning with .* world:catch"),
        ("task", "detection", r"config.task is 'detection'; allowed: one of classification, regression"),
        (
            "data.source",
            "mnist",
            r"config.data.source is 'mnist'; allowed: mnist_5k, tfds:NAME, idx:FOLDER, folder:PATH or world:NAME",
        ),
        ("data.train_split", "", r"config.data.train_split is ''; allowed"),
        ("data.channels", 2, r"config.data.channels is 2; allowed: 0, 1 or 3"),
        ("classifier", "resnet", r"config.classifier is 'resnet'; allowed: one of cnn, vgg, lenet, resnet18"),
        ("classifier", "own.module:", r"config.classifier is 'own.module:'; allowed: one of .*, or module:Class"),
        (
            "classifier_weights",
            "a.pth",
            r"config.classifier_weights is 'a.pth'; allowed: '' with classifier cnn; .* resn",
        ),
        ("classifier_frozen", 1, r"config.classifier_frozen is 1; allowed: 0 with classifier cnn, which has no stages"),
        ("classifier_frozen", -1, r"config.classifier_frozen is -1; allowed: an integer from 0 to"),
        ("mask.size", 36, r"config.mask.size is 36; allowed: 0, or a size that networks take, such as 32, 48"),
        ("background.ink_share", 1.5, r"config.background.ink_share is 1.5; allowed: a number from 0 to 1"),
        ("background.ink_contrast", 0.6, r"config.background.ink_contrast is 0.6; allowed: a number from 0 to 0.5"),
        ("mask.binarize", "half", r"config.mask.binarize is 'half'; allowed: one of otsu, threshold, quantile, none"),
        ("mask.kind", "nonzero", r"config.schedule .* no f_m where config.mask.kind is nonzero"),
        ("background.kind", "real", r"config.background.kind is 'real'; allowed: one of generated, noise, black"),
        ("background.pictured_share", 0.5, r"config.background.pictured_share is 0.5; allowed: above 0 with"),
        ("background.photographs", "somewhere", r"config.background.pictured_share is 0.0; allowed: above 0 with"),
        ("background.repeats", 3, r"config.background.repeats is 3; allowed: 1 without config.background.families"),
        ("background.zoom", 0.5, r"config.background.zoom is 0.5; allowed: 0.0 without config.background.pictured_sh"),
        ("background.gain", 1.0, r"config.background.gain is 1.0; allowed: 0.0 without config.background.pictured_sh"),
        ("background.two_greys", 0.5, r"config.background.two_greys is 0.5; allowed: 0.0 without config.background.p"),
        (
            "background.families",
            ("circles",),
            r"config.background.families is \('circles',\); allowed: a tuple of names",
        ),
        ("background.families", (["circles"],), r"config.background.families is \(\['circles'\],\); allowed: a tuple"),
        (
            "background.plain_share",
            1.0,
            r"config.background.plain_share is 1.0; allowed: leaves some of the batch to f_b",
        ),
    ],
)
def test_a_wrong_value_is_refused(name, value, message):
    config = configs.default_config()
    config.update_from_flattened_dict({name: value})
    with pytest.raises(ValueError, match=message):
        configs.validate(config)


@pytest.mark.parametrize("name", ["weight_decay", "mask.area_weight", "background.brightness_weight"])
def test_a_number_may_be_as_large_as_float32_has_them(name):
    config = configs.default_config()
    config.update_from_flattened_dict({name: 1e30})
    configs.validate(config)


def test_wrong_types_and_names_are_refused():
    values = configs.default_config().to_dict()
    with pytest.raises(ValueError, match=r"config.batch_size is 6.5; allowed: an integer of at least 1"):
        configs.validate(ConfigDict(values | {"batch_size": 6.5}))
    with pytest.raises(ValueError, match=r"config.seed is True; allowed: an integer"):
        configs.validate(ConfigDict(values | {"seed": True}))
    with pytest.raises(ValueError, match=r"config.batchsize is unknown; the fields are method, task, seed"):
        configs.validate(ConfigDict(values | {"batchsize": 6}))
    del values["steps"]
    with pytest.raises(ValueError, match=r"config.steps is missing; allowed: an integer"):
        configs.validate(ConfigDict(values))


@pytest.mark.parametrize(
    ("classifier", "fields", "message"),
    [
        (
            "resnet18",
            {"classifier_frozen": 6},
            r"config.classifier_frozen is 6; allowed: 0 to 5 with classifier resnet18",
        ),
        (
            "resnet18",
            {"classifier_frozen": 5},
            r"config.classifier_frozen is 5; allowed: 0 without config.classifier_weights: first stages would stay",
        ),
        (
            "efficientnet_lite0",
            {"classifier_frozen": 10},
            r"allowed: 0 to 9 with classifier efficientnet_lite0: from all",
        ),
        (
            "resnet50",
            {"classifier_weights": "imagenet"},
            r"'imagenet'; allowed: '' or a file with classifier resnet50; ",
        ),
        (
            "resnet18",
            {"classifier_averages": "fixed"},
            r"config.classifier_averages is 'fixed'; allowed: moving without config.classifier_weights",
        ),
        (
            "cnn",
            {"mask.size": 16, "mask.kind": "nonzero", "schedule": ("f+f_b:1",)},
            r"config.mask.size is 16; allowed: 0",
        ),
    ],
)
def test_what_a_classifier_lacks_is_refused(classifier, fields, message):
    config = configs.default_config()
    config.update_from_flattened_dict({"classifier": classifier} | fields)
    with pytest.raises(ValueError, match=message):
        configs.validate(config)


def test_photographs_may_be_classified_by_a_frozen_network_with_only_its_head_in_training():
    config = configs.default_config()
    fields = {"classifier": "efficientnet_lite0", "classifier_weights": "imagenet", "classifier_frozen": 9}
    config.update_from_flattened_dict(fields | {"mask.size": 112})
    configs.validate(config)


def test_attention_looks_into_maps():
    config = runpy.run_path(str(FOLDER / "mnist_attention.py"))["get_config"]()
    config.classifier = "lenet"
    with pytest.raises(
        ValueError, match="config.classifier is 'lenet'; allowed: cnn, vgg, resnet18, .* with method attention"
    ):
        configs.validate(config)


def test_vanilla_trains_f_alone():
    config = configs.default_config()
    config.method = "vanilla"
    with pytest.raises(ValueError, match="config.schedule .* method vanilla trains f"):
        configs.validate(config)
    config.schedule = ("f:1",)
    configs.validate(config)


def test_every_row_of_hands_is_valid_and_sees_the_studio_alone():
    hands = runpy.run_path(str(FOLDER / "hands.py"))
    rows = {row: hands["get_config"](row) for row in hands["SCHEDULES"]}
    for row, config in rows.items():
        configs.validate(config)
        assert (config.method, config.background.photographs, config.data.masks) == (row, "", ())
        assert set(config.background.families) <= set(families.DEVELOPMENT)
        assert config.augment == rows["vanilla"].augment
    with pytest.raises(ValueError, match="the row is 'best'; allowed: proposal, vanilla, attention"):
        hands["get_config"]("best")


@pytest.mark.parametrize("seeds", [(True, False), (1.0,), ("1",), ((),)])
def test_seeds_are_integers(seeds):
    config = configs.default_config().to_dict() | {"seeds": seeds}
    with pytest.raises(ValueError, match="config.seeds is .*; allowed: a tuple of different integers"):
        configs.validate(ConfigDict(config))
