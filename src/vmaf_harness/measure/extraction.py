"""One kind of extraction: which features of libvmaf, stored under which name, which is the score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vmaf_harness.measure.metrics import RequestedMetric
from vmaf_harness.plugins import PluginUse

FEATURE_VERSION = "1.0"  # raise it when the same options begin to mean another number
_SUBSAMPLE = "n_subsample"  # of the filter


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model given as a file: its content as it was when it was named, so that a later change cannot mix in."""

    content: bytes
    sha256: str

    @property
    def name(self) -> str:
        """The name it gets in a run's scratch: none of the user's text, so nothing in it needs escaping."""
        return f"model-{self.sha256[:16]}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """One kind of extraction: its name in the store, the filter's options, and which metric of the log is the score."""

    type: str
    version: str
    options: tuple[tuple[str, str], ...]  # of the libvmaf filter, unescaped
    score: str
    model: ModelFile | None = None
    has_v1_features: bool = False  # of the model: CAMBI and SpEED
    wanted: tuple[RequestedMetric, ...] = ()  # metrics that the log must have, each with its options in its name
    plugins: tuple[PluginUse, ...] = ()  # whose features are computed beside libvmaf's

    @property
    def executor_id(self) -> str:
        """The directory of its results in the store, as upstream shapes it: `TYPE_V` and the version."""
        return f"{self.type}_V{self.version}"

    @property
    def subsample(self) -> int:
        """One frame in so many is measured."""
        return int(dict(self.options).get(_SUBSAMPLE, 1))

    def subsampled(self, every: int) -> Extraction:
        """The same of one frame in *every*, the first and each that follows *every* later; 1 is all of them.

        What libvmaf says of a frame stays what it says of it among all: motion looks at every frame all the same.
        """
        if every == 1:
            return self
        options = tuple(option for option in self.options if option[0] != _SUBSAMPLE)
        return replace(self, version=f"{self.version}-subsample{every}", options=(*options, (_SUBSAMPLE, str(every))))

    @property
    def extractors(self) -> tuple[str, ...]:
        """The extractors of libvmaf that are asked for by name, beside those of a model."""
        asked = dict(self.options).get("feature", "")
        return tuple(part.removeprefix("name=").partition(":")[0] for part in asked.split("|") if part)

    @property
    def has_cambi(self) -> bool:
        """Whether CAMBI is computed, which looks at the size and depth that a video was encoded at."""
        return self.has_v1_features or "cambi" in self.extractors

    def options_for(self, encode: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
        """The options, with what CAMBI is told of how the distorted video was encoded (`enc_width`, …)."""

        def told(name: str, value: str) -> str:
            if name == "model" and self.has_v1_features:
                return value + "".join(f":cambi.{option}={number}" for option, number in encode.items())
            if name != "feature":
                return value
            own = "".join(f":{option}={number}" for option, number in encode.items())
            parts = value.split("|")
            return "|".join(part + own if part.split(":")[0] == "name=cambi" else part for part in parts)

        return tuple((name, told(name, value)) for name, value in self.options)

    @property
    def identity(self) -> dict[str, object]:
        """All of it that changes a number, as JSON carries it."""
        made_of: dict[str, object] = {
            "executor_id": self.executor_id,
            "options": [list(option) for option in self.options],
            "model_sha256": self.model.sha256 if self.model else None,
        }
        if self.plugins:
            made_of["plugins"] = [[each.package, each.name, each.version, *each.atoms] for each in self.plugins]
        return made_of
