from bginv_jax.config import default_config
def get_config():
    config = default_config()
    config.method = "vanilla"
    config.task, config.data.source = "q_learning", "world:catch"
    config.classifier, config.classifier_average = "small", 0.99
    config.batch_size, config.steps, config.schedule = 32, 6000, ("f:1",)
    config.augment.update({"rotation": 0.0, "shift": 0.0, "zoom": 0.0})
    config.log_every, config.checkpoint_every = 200, 2000
    return config
