"""Presets for `--config NAME`: YAML files of `TrainConfig`'s fields. Installed as `multitask.configs`."""
