"""Which tests run at the default place too, and which commands and subdirectories each uses there.

All run in an overridden workspace. Past the question where the workspace is, both places run the same code: so of each
kind of use some run at the default place. After each of them conftest.py checks that it left something in each
subdirectory that is named (`model/`), and test_default_place.py that no command and no subdirectory is missing.
"""

from __future__ import annotations

import pytest

AT_THE_DEFAULT = {
    "encode/test_draft.py::test_videos_below_a_recipe_move_with_it_and_others_have_their_whole_path": (
        "new-dataset dataset/"
    ),
    "encode/test_transcode.py::test_a_second_run_encodes_nothing": "encode dataset/ encode/ output/ result_store_dir/",
    "encode/test_transcode.py::test_the_recipe_finds_its_encodes_when_the_workspace_moves": "encode",
    "encode/test_transcode.py::test_the_task_takes_several_values_in_a_flag": "encode",
    "encode/test_transcode.py::test_what_kill_9_left_unfinished_is_made_one_by_one": "encode",
    "engine/test_binary.py::test_an_engine_is_asked_anew_and_no_failure_is_remembered": "test result_store_dir/",
    "measure/test_export_results.py::test_the_command_says_what_it_wrote_and_what_it_left": (
        "export-results extract result_store_dir/"
    ),
    "measure/test_notes.py::test_score_test_and_extraction_give_one_number": "score test extract",
    "measure/test_subsample.py::test_run_psnr_and_score_say_what_they_measured": "score",
    "model/test_v1.py::test_encodes_are_labelled_by_the_model_that_is_meant": "encode",
    "report/test_kept_limit.py::test_invokes_configuration_sets_it_before_the_environment_and_after_a_flag": "test",
    "report/test_kept_limit.py::test_the_environment_s_limit_is_kept_and_what_went_is_said_in_a_line": "test",
    "report/test_page.py::test_a_workspace_has_a_page_also_where_nothing_is": "report",
    "report/test_testing.py::test_a_missing_engine_is_an_error_and_makes_nothing": "test",
    "report/test_testing.py::test_a_model_path_leads_nowhere_in_the_workspace": "test",
    "report/test_testing.py::test_a_plot_a_table_and_statistics_are_written": "test output/",
    "report/test_testing.py::test_a_stored_dataset_starts_no_ffmpeg_at_all": "test result_store_dir/",
    "report/test_testing.py::test_another_workspace_can_be_named": "test",
    "report/test_testing.py::test_kept_work_files_are_named": "test workdir/",
    "report/test_testing.py::test_nothing_is_stored_without_cache_result": "test",
    "report/test_testing.py::test_the_results_of_one_dataset_and_type_go_and_no_others": "test",
    "report/test_testing.py::test_videos_are_looked_for_in_the_workspace_first": "test dataset/",
    "script/test_conversion.py::test_a_bootstrap_group_becomes_a_collection_of_all_members": "convert-model model/",
    "script/test_pair_scripts.py::test_several_distorted_videos_are_a_table_and_one_that_fails_is_named": "score",
    "script/test_run_training.py::test_a_bare_name_goes_to_model_as_a_whole_group": "train model/",
    "script/test_run_training.py::test_a_bare_name_is_a_model_of_the_workspace_or_of_libvmaf": "test model/",
    "script/test_run_training.py::test_a_cached_run_leaves_its_table_numbers_and_plots": "train output/ model/",
    "script/test_run_training.py::test_a_path_is_where_the_model_goes": "train",
    "script/test_run_training.py::test_a_tuned_set_is_a_model_param": "train model_param/",
    "script/test_run_training.py::test_nothing_is_stored_unasked": "train",
    "script/test_shards.py::test_a_part_writes_no_table_and_leaves_no_scratch": "extract result_store_dir/",
    "script/test_training_tasks.py::test_a_model_is_tuned_validated_trained_tested_and_reported": (
        "extract tune cross-validate train test report model/ model_param/ output/ result_store_dir/"
    ),
    "script/test_training_tasks.py::test_a_pair_is_scored_by_a_trained_model_and_drawn": "score train model/",
    "test_cli.py::test_the_console_script_trains_as_the_script_does": "train model/",
    "test_clusters.py::test_a_cluster_stores_what_a_run_here_stores_and_measures_each_once": "test result_store_dir/",
    "test_clusters.py::test_a_worker_that_does_not_see_the_workspace_is_named": "test",
    "test_default_place.py::test_a_command_finds_the_workspace_that_nobody_names": (
        "bd-rate import-results report dataset/ encode/"
    ),
    "test_harness_tasks.py::test_score_keeps_the_log_of_an_ffmpeg_that_failed": "score output/",
    "test_harness_tasks.py::test_score_prints_the_number_alone_on_stdout": "score",
    "test_harness_tasks.py::test_the_demo_makes_its_model_where_nothing_can_be_drawn": (
        "demo dataset/ encode/ model/ model_param/ result_store_dir/"
    ),
    "test_interrupts.py::test_a_dask_cluster_scores_as_this_process_does": "test",
    "test_interrupts.py::test_a_fully_cached_run_works_in_a_read_only_workspace": "test",
    "test_interrupts.py::test_a_signal_ends_a_run_at_once_and_leaves_nothing": "test",
    "test_interrupts.py::test_a_stored_result_is_read_by_another_process_than_wrote_it": "test result_store_dir/",
    "test_interrupts.py::test_kill_9_during_extraction_leaves_no_ffmpeg_and_a_usable_workspace": "test",
    "test_plugins.py::test_a_model_of_a_packages_features_is_trained_stored_and_tested_like_others": (
        "train test model/"
    ),
    "training/test_checkpoints.py::test_a_bootstrap_that_is_stopped_says_so_and_keeps_its_parts": (
        "train checkpoints_dir/"
    ),
    "training/test_cross_validation.py::test_statistics_of_each_fold_and_of_all_are_printed": "cross-validate",
    "training/test_feature_table.py::test_what_is_stored_is_not_measured_again": "extract result_store_dir/",
    "training/test_replacement.py::test_what_overwrite_replaces_is_brought_back_by_what_the_last_line_says": "train",
    "training/test_tuning.py::test_the_best_set_is_written_where_training_finds_it": "tune train model_param/ output/",
}


def used_by(item: pytest.Item) -> set[str]:
    """The commands and subdirectories that a test is said to use; none if it runs in an overridden workspace alone."""
    return set(AT_THE_DEFAULT.get(item.nodeid.partition("[")[0].removeprefix("tests/harness/"), "").split())
