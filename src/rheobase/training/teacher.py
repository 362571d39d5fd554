"""Objectives of recipes, whose teachers are the trained models of run folders."""

from rheobase.errors import CheckpointError, RecipeError
from rheobase.objectives import InformationEnhancementConfig, Objective, ObjectiveConfig, build_objective
from rheobase.training.run import open_run


def recipe_objective(config: ObjectiveConfig) -> Objective:
    """The objective of a recipe, with the teacher it names.

    Raises:
        RecipeError: the teacher's folder holds no trained run, or none is named and one is needed.
    """
    if (
        not isinstance(config, InformationEnhancementConfig)
        or config.teacher is None
        or config.distill == "none"
    ):
        return build_objective(config)
    try:
        teacher = open_run(config.teacher).model()
    except CheckpointError as error:
        raise RecipeError(
            f"objective.teacher = {config.teacher!r}: {error}. Train the teacher first, or give the folder of another run"
        ) from error
    return build_objective(config, teacher=teacher)
