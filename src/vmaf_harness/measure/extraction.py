"""One kind of extraction: which features of libvmaf, stored under which name, which is the score."""

from __future__ import annotations

from dataclasses import dataclass

from vmaf_harness.measure.metrics import RequestedMetric

FEATURE_VERSION = "1.0"  # raise it when the same options begin to mean another number


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
    wanted: tuple[RequestedMetric, ...] = ()  # metrics that the log must have, each with its options in its name

    @property
    def executor_id(self) -> str:
        """The directory of its results in the store, as upstream shapes it: `TYPE_V` and the version."""
        return f"{self.type}_V{self.version}"

    @property
    def extractors(self) -> tuple[str, ...]:
        """The extractors of libvmaf that are asked for by name, beside those of a model."""
        asked = dict(self.options).get("feature", "")
        return tuple(part.removeprefix("name=").partition(":")[0] for part in asked.split("|") if part)

    @property
    def identity(self) -> dict[str, object]:
        """All of it that changes a number, as JSON carries it."""
        return {
            "executor_id": self.executor_id,
            "options": [list(option) for option in self.options],
            "model_sha256": self.model.sha256 if self.model else None,
        }
