"""What of Lightning a run rests on though it is private there: hence the upper bound of its version."""

from __future__ import annotations

import inspect

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.strategies import launchers
from pytorch_lightning.trainer.connectors.logger_connector.result import _ResultCollection


def test_the_private_names_that_a_run_rests_on_are_there(tmp_path):
    # training/processes.py: which strategies begin processes inside the training, and the processes of the others.
    assert inspect.isclass(launchers._MultiProcessingLauncher)
    assert "self.procs: list[subprocess.Popen]" in inspect.getsource(launchers._SubprocessScriptLauncher.__init__)
    # training/module.py: what was logged so far, a dict.
    assert isinstance(pl.Trainer._results, property)
    assert issubclass(_ResultCollection, dict)
    # training/csv_log.py: the two methods that are replaced, and where the writer is kept.
    assert list(inspect.signature(ExperimentWriter._check_log_dir_exists).parameters) == ["self"]
    assert list(inspect.signature(ExperimentWriter._rewrite_with_new_header).parameters) == ["self", "fieldnames"]
    assert CSVLogger(tmp_path)._experiment is None
    # training/checkpoints.py: what is said of the loops in a checkpoint.
    loop = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path).fit_loop
    state = loop.state_dict()
    assert state["epoch_loop.state_dict"] == {"_batches_that_stepped": 0}
    progress = state["epoch_loop.batch_progress"]
    assert set(progress) == {"total", "current", "is_last_batch"}
    assert all({"ready", "started", "processed", "completed"} <= set(progress[name]) for name in ("total", "current"))
