"""The tasks that train: thin faces of the scripts, for the collection `harness`."""

from __future__ import annotations

from vmaf_workspace.commands.command import Command
from vmaf_workspace.errors import UsageError


def positional(**given: str) -> list[str]:
    """Arguments that a script cannot do without, in its order; UsageError names the flag of one that is missing."""
    for name, value in given.items():
        if not value:
            raise UsageError(f"--{name.replace('_', '-')} is missing")
        if value.startswith("-"):
            raise UsageError(f"--{name.replace('_', '-')}: {value!r} looks like a flag; write ./{value} for a file")
    return list(given.values())


def flags(**given: str | bool) -> list[str]:
    """Flags of a script, those left out that were not given."""
    wanted = {f"--{name.replace('_', '-')}": value for name, value in given.items() if value}
    return [flag if value is True else f"{flag}={value}" for flag, value in wanted.items()]


DATASET = "the recipe, a *_dataset.py"
_TRAINING = {
    "dataset": DATASET,
    "feature_param": "the file that says which features",
    "model_param": "the file that says how to fit, or a tuned .pkl",
}
_RUNNING = {
    "subj_model": "makes labels from raw scores, such as MOS",
    "save_plot": "where plots go (default: the run's directory in output/)",
    "processes": "ffmpegs, and fits, at once",
    "seed": "of what is drawn",
    "cache_result": "read stored results, store new ones; table and numbers in output/",
    "print_result": "print the score of each asset",
    "suppress_plot": "draw nothing",
    "keep_going": "leave out assets that are missing or fail",
    "refuse_damaged": "take no damaged distorted video; without this, a warning",
}
_REPLACING = {
    "overwrite": "replace what has this name, after a snapshot of it; without this, exit code 3",
    "at": "where that snapshot goes, instead of ws.backups or VMAF_BACKUPS",
}
_FOLDS = {
    "folds": "folds of whole contents (default: 5)",
    "leave_one_source_out": "a fold for each content",
}


def running(*names: str) -> dict[str, str]:
    """The help of flags that several tasks have."""
    return {name: _RUNNING[name] for name in names}


def extract(
    *,
    dataset: str = "",
    feature_param: str = "",
    processes: str = "",
    workspace: str = "",
    keep_going: bool = False,
    refuse_damaged: bool = False,
) -> int:
    """Extract the features of a dataset into the result store; what is stored already stays."""
    from vmaf_harness.script.run_extraction import main

    values = flags(processes=processes, workspace=workspace, keep_going=keep_going, cache_result=True)
    values += flags(refuse_damaged=refuse_damaged)
    return main([*positional(dataset=dataset, feature_param=feature_param), *values])


def train(
    *,
    dataset: str = "",
    feature_param: str = "",
    model_param: str = "",
    output_model: str = "",
    subj_model: str = "",
    save_plot: str = "",
    processes: str = "",
    seed: str = "",
    workspace: str = "",
    at: str = "",
    overwrite: bool = False,
    cache_result: bool = False,
    suppress_plot: bool = False,
    keep_going: bool = False,
    refuse_damaged: bool = False,
) -> int:
    """Train a model into model/; one of the same name stays, unless --overwrite; a killed bootstrap goes on."""
    from vmaf_harness.script.run_vmaf_training import main

    inputs = {"dataset": dataset, "feature_param": feature_param, "model_param": model_param}
    values = {"subj_model": subj_model, "save_plot": save_plot, "processes": processes, "seed": seed}
    switches = {"cache_result": cache_result, "suppress_plot": suppress_plot, "keep_going": keep_going}
    switches |= {"refuse_damaged": refuse_damaged, "overwrite": overwrite}
    return main(
        [
            *positional(**inputs, output_model=output_model),
            *flags(**values, workspace=workspace, at=at),
            *flags(**switches),
        ]
    )


def cross_validate(
    *,
    dataset: str = "",
    feature_param: str = "",
    model_param: str = "",
    folds: str = "",
    leave_one_source_out: bool = False,
    subj_model: str = "",
    save_plot: str = "",
    processes: str = "",
    seed: str = "",
    workspace: str = "",
    cache_result: bool = False,
    suppress_plot: bool = False,
    keep_going: bool = False,
    refuse_damaged: bool = False,
) -> int:
    """Say how well a model predicts contents that it has not seen; no model is written."""
    from vmaf_harness.script.run_vmaf_cross_validation import main

    inputs = {"dataset": dataset, "feature_param": feature_param, "model_param": model_param}
    values = {"folds": folds, "subj_model": subj_model, "save_plot": save_plot, "processes": processes, "seed": seed}
    switches = {"cache_result": cache_result, "suppress_plot": suppress_plot, "keep_going": keep_going}
    switches["refuse_damaged"] = refuse_damaged
    is_by_source = flags(leave_one_source_out=leave_one_source_out)
    return main([*positional(**inputs), *flags(**values, workspace=workspace), *flags(**switches), *is_by_source])


def tune(
    *,
    dataset: str = "",
    feature_param: str = "",
    model_param: str = "",
    output_param: str = "",
    gamma: str = "",
    cost: str = "",
    nu: str = "",
    random: str = "",
    folds: str = "",
    leave_one_source_out: bool = False,
    subj_model: str = "",
    processes: str = "",
    seed: str = "",
    workspace: str = "",
    at: str = "",
    overwrite: bool = False,
    cache_result: bool = False,
    keep_going: bool = False,
    refuse_damaged: bool = False,
) -> int:
    """Search gamma, C and nu by cross-validation into model_param/; a set of that name stays, unless --overwrite."""
    from vmaf_harness.script.run_vmaf_tuning import main

    inputs = {"dataset": dataset, "feature_param": feature_param, "model_param": model_param}
    values = {"random": random, "folds": folds, "subj_model": subj_model, "processes": processes, "seed": seed}
    switches = {"leave_one_source_out": leave_one_source_out, "cache_result": cache_result, "keep_going": keep_going}
    switches |= {"refuse_damaged": refuse_damaged, "overwrite": overwrite}
    arguments = [*positional(**inputs, output_param=output_param), *flags(**values, workspace=workspace, at=at)]
    for flag, text in (("--gamma", gamma), ("--C", cost), ("--nu", nu)):
        several = text.replace(",", " ").split()
        arguments += [flag, *several] if several else []
    return main([*arguments, *flags(**switches)])


TRAINING = (
    Command(
        "extract",
        extract,
        {
            "dataset": DATASET,
            "feature_param": _TRAINING["feature_param"],
            **running("processes", "keep_going", "refuse_damaged"),
        },
    ),
    Command(
        "train",
        train,
        {
            **_TRAINING,
            "output_model": "the model that is written; a bare name goes to model/",
            **_REPLACING,
            **running("subj_model", "save_plot", "processes", "seed"),
            **running("cache_result", "suppress_plot", "keep_going", "refuse_damaged"),
        },
    ),
    Command(
        "cross-validate",
        cross_validate,
        {
            **_TRAINING,
            **_FOLDS,
            **running("subj_model", "save_plot", "processes", "seed"),
            **running("cache_result", "suppress_plot", "keep_going", "refuse_damaged"),
        },
    ),
    Command(
        "tune",
        tune,
        {
            **_TRAINING,
            "output_param": "the set that is written; a bare name goes to model_param/",
            **_REPLACING,
            "gamma": "values to try, such as '0.02 0.05'",
            "cost": "values of C to try, such as '1 4'",
            "nu": "values to try, such as '0.5 0.9'",
            "random": "draw this many sets between the values, instead of trying all",
            **_FOLDS,
            **running("subj_model", "processes", "seed", "cache_result", "keep_going", "refuse_damaged"),
        },
        several=frozenset({"gamma", "cost", "nu"}),
    ),
)
