"""Checkpoints: a training that is interrupted goes on where it was, with the very parameters it would have had.

    batches = checkpoint.Batches(loader, epochs=15)
    training = checkpoint.Training(model=model, optimizer=optimizer, schedule=schedule, data=batches)
    step = training.resume()                  # 0 when there is nothing yet
    for images, labels in batches:
        ...
        step += 1
        training.step(step)                   # saves when it is time, and at once after SIGTERM
    training.finish(step)

The directory is `spec.checkpoint.directory`, shared by all pods; without one nothing is saved and the same script runs
as it is. Horovod, torch.distributed or a single process: call `resume` when they are initialised, on every rank.
"""

from trireme_worker.checkpoint.batches import Batches
from trireme_worker.checkpoint.errors import CannotResume, CheckpointError, SaveFailed, Stopped
from trireme_worker.checkpoint.pace import Policy
from trireme_worker.checkpoint.training import Training

__all__ = ["Batches", "CannotResume", "CheckpointError", "Policy", "SaveFailed", "Stopped", "Training"]
