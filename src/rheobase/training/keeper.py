"""The callback that keeps a run folder up to date and restores from it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rheobase.errors import CheckpointError
from rheobase.training.callback import Callback, State
from rheobase.training.checkpoint import (
    Checkpoint,
    has_checkpoint,
    load_checkpoint,
    load_model_tensors,
    save_checkpoint,
)
from rheobase.training.logs import Scalars, read_metrics, tensorboard_writer, write_metrics
from rheobase.training.processes import first
from rheobase.training.recipe import Recipe
from rheobase.training.run import METRICS, write_recipe
from rheobase.training.shard import load_optimiser, whole

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Keeper(Callback):
    """Keeps recipe, metrics, checkpoint and TensorBoard of a run folder up to date; restores from them."""

    def __init__(self, folder: Path, recipe: Recipe, fabric: "Fabric") -> None:
        self.folder, self.recipe, self.fabric = folder, recipe, fabric
        self.warnings: list[str] = []
        self.board: Scalars | None = None

    def started(self, state: State) -> None:
        """Restore the last checkpoint, if there is one, and cut the metrics back to it."""
        if has_checkpoint(self.folder):
            found = load_checkpoint(self.folder)
            load_model_tensors(state.model, found.model, f"the checkpoint of {self.folder}")
            if found.optimiser is None:
                raise CheckpointError(
                    f"the checkpoint of {self.folder} holds no optimiser state to resume from"
                )
            load_optimiser(state.optimiser, found.optimiser)
            state.epoch = found.epoch
            state.history = read_metrics(self.folder / METRICS, up_to=found.epoch)
            state.warnings = list(found.notes.get("warnings", []))
        self.warnings = state.warnings
        self.fabric.barrier()
        if self.fabric.is_global_zero:
            write_recipe(self.folder, self.recipe)
            if self.recipe.train.tensorboard and state.epoch < state.epochs:
                self.board = tensorboard_writer(self.folder / "tensorboard", after_epoch=state.epoch)

    def epoch_ended(self, state: State) -> None:
        """Metrics first, so that the checkpoint never points beyond them; by one process, the others wait.

        Raises:
            CheckpointError: the folder cannot be written, or a weight is not finite.
            PeerError: the same, in the other processes.
        """
        weights, optimiser = whole(state.model.state_dict()), whole(state.optimiser.state_dict())
        first(self.fabric, lambda: self._write(state, Checkpoint(state.epoch, weights, optimiser)))

    def _write(self, state: State, checkpoint: Checkpoint) -> None:
        row = state.history[-1]
        try:
            write_metrics(self.folder / METRICS, state.history)
        except OSError as error:
            raise CheckpointError(f"{self.folder / METRICS} cannot be written: {error.strerror}") from error
        save_checkpoint(self.folder, replace(checkpoint, notes={"warnings": state.warnings}))
        if self.board:
            for name, value in row.items():
                self.board.add_scalar(name, value, state.epoch)
            self.board.flush()
            if state.epoch == state.epochs:
                self.board.close()
