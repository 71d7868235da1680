"""Training: the LightningModule and data module, optimisers, callbacks, loggers, checkpoints, several processes."""
