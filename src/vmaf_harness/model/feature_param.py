"""Reads `feature_param` files: which features a model is made of, and how each is extracted."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from vmaf_harness.errors import HarnessError, RecipeError
from vmaf_harness.measure.extraction import FEATURE_VERSION, Extraction
from vmaf_harness.measure.features import FEATURES, NOT_IN_LIBVMAF, Feature, find_feature
from vmaf_harness.measure.metrics import OPTIONS, RequestedMetric, metric_name
from vmaf_harness.plugins import FEATURES as PLUGIN_FEATURES
from vmaf_harness.plugins import PluginUse, find, installed, load, refuse_taken_names
from vmaf_harness.recipe.dataset import read_parameters
from vmaf_harness.recipe.plain_data import is_number, short_text
from vmaf_harness.recipe.positions import Place
from vmaf_harness.recipe.source import read_literals

_T = TypeVar("_T")
# Some files hold all. VMAF's own harness reads feature_optional_dict; the other was ours by mistake.
_OPTIONS, _OLD_OPTIONS = "feature_optional_dict", "feature_option_dict"
FILE_NAMES = frozenset({"feature_dict", _OPTIONS, _OLD_OPTIONS, "model_type", "model_param_dict"})

OF_ENCODE = ("enc_width", "enc_height", "enc_bitdepth")  # options of CAMBI that differ from video to video
_BY_FAMILY = re.compile(r"(adm|vif|motion|cambi|speed)_\w+")
_OTHER_OPTIONS = frozenset(OPTIONS["cambi"]) - {*OF_ENCODE, "full_ref"}  # that one is Cambi_FR_feature


def feature_name(aggregate: str, atom: str) -> str:
    """The name of a feature in a model, such as ``VMAF_integer_feature_adm2_score``."""
    return f"{aggregate}_{atom}_score"


@dataclass(frozen=True, kw_only=True)  # no slots: what is computed once is kept in it
class FeatureParam:
    """Which features a model is made of.

    `atoms` are (aggregate, atom) pairs such as ``("VMAF_feature", "adm2")``, sorted by the names that they have in a
    model; `options` has the options of libvmaf's extractors for each of them, and is empty where there are none at all.
    One frame in `subsample` is measured, which no such file says. `warnings` is what a person should know of the file
    that they came from. `plugins` are those of the atoms that libvmaf does not have.
    """

    atoms: tuple[tuple[str, str], ...]
    options: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    subsample: int = 1
    plugins: tuple[PluginUse, ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features in a model, sorted: the order of its columns."""
        return tuple(feature_name(*atom) for atom in self.atoms)

    @property
    def feature_dict(self) -> dict[str, list[str]]:
        """Atoms by aggregate, as a model keeps them."""
        kinds = [*(kind for kind in FEATURES if kind in dict(self.atoms)), *(each.name for each in self.plugins)]
        return {kind: [atom for of, atom in self.atoms if of == kind] for kind in kinds}

    @property
    def feature_options(self) -> dict[str, dict[str, Any]]:
        """The options of those features that have some, by the name of the feature."""
        return {name: dict(own) for name, own in zip(self.feature_names, self.options, strict=False) if own}

    @cached_property
    def wanted(self) -> dict[str, tuple[RequestedMetric, ...]]:
        """The metrics that each feature is made of: one, but for vif2 the four scales of vif."""
        found = {}
        for index, (kind, atom) in enumerate(self.atoms):
            own = self.options[index] if self.options else {}
            feature = find_feature(kind, atom)
            names = (feature_name(kind, each) for each in (feature.mean_of if feature else ()) or (atom,))
            found[feature_name(kind, atom)] = tuple(RequestedMetric.of(name, own) for name in names)
        return found

    @property
    def extraction(self) -> Extraction:
        """What libvmaf computes for these features, as the result store keeps it: each set of options once."""
        extractors: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, Any]] = {}
        for index, (kind, atom) in enumerate(self.atoms):
            own = self.options[index] if self.options else {}
            if (found := find_feature(kind, atom)) is None:
                continue  # of a plug-in
            alike = (found.extractor, RequestedMetric.of(feature_name(kind, atom), own).effect)
            options = extractors.setdefault(alike, dict(own))
            options.update(found.needs)
        wanted = self.wanted
        plain = [each for of in wanted.values() for each in of if not each.options]
        described = []
        for (name, _), options in extractors.items():
            texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in options.items()}
            described.append((name, ":".join((f"name={name}", *(f"{k}={v}" for k, v in texts.items())))))
        if not plain or not described:  # options add to the names of metrics; a result needs one whose name is known
            described.append(("psnr", "name=psnr"))
        return Extraction(
            type="_and_".join(self.feature_dict),
            version=FEATURE_VERSION,
            options=(("model", ""), ("feature", "|".join(text for _, text in sorted(described)))),
            score=metric_name(plain[0].name) if plain else "psnr_y",
            wanted=tuple(each for of in wanted.values() for each in of),
            plugins=self.plugins,
        ).subsampled(self.subsample)

    def columns(self, metrics: Mapping[str, _T]) -> dict[str, _T]:
        """The features among libvmaf's metrics, by the names that they have in a model.

        Options add to the name of a metric (``integer_adm2_egl_1``). Raises HarnessError for a feature that is not
        there, and for an option that libvmaf did not take.
        """
        return {name: _mean([metrics[each.find_in(metrics)] for each in of]) for name, of in self.wanted.items()}


def _mean(numbers: Sequence[Any]) -> Any:
    """The mean of numbers, or of columns of them, row by row."""
    if len(numbers) == 1:
        return numbers[0]
    if isinstance(numbers[0], float):
        return sum(numbers) / len(numbers)
    return [sum(row) / len(row) for row in zip(*numbers, strict=True)]


def read_feature_param(path: Path) -> FeatureParam:
    """Read a `feature_param` file as data; RecipeError, with line and place, for what is not understood."""
    values = read_parameters(path, FILE_NAMES)
    wrong = error_maker(path)
    given = values.get("feature_dict")
    if given is None:
        raise RecipeError(path, "lacks feature_dict; is this a feature_param file?")
    if not isinstance(given, dict) or not given:
        raise wrong(("feature_dict",), f"expected a dictionary of features, got {short_text(given)}")
    refuse_taken_names(PLUGIN_FEATURES, given, {*FEATURES, *NOT_IN_LIBVMAF})
    atoms: set[tuple[str, str]] = set()
    uses: list[PluginUse] = []
    for aggregate, listed in given.items():
        place: Place = ("feature_dict", str(aggregate))
        known: Collection[str] = FEATURES.get(aggregate, ())
        if aggregate not in FEATURES:
            if not isinstance(aggregate, str) or find(PLUGIN_FEATURES, aggregate) is None:
                raise wrong(place, _kind_problem(aggregate))
            uses.append(load(PLUGIN_FEATURES, aggregate).use)
            known = uses[-1].atoms
        if listed == "all":
            listed = tuple(known)
        if not isinstance(listed, (list, tuple)) or not listed:
            raise wrong(place, f"expected 'all' or a list of features, got {short_text(listed)}")
        for index, atom in enumerate(listed):
            if not isinstance(atom, str) or atom not in known:
                raise wrong(
                    (*place, index), f"unknown feature {short_text(atom)}; known are {', '.join(sorted(known))}"
                )
            atoms.add((aggregate, atom))
    name, warnings = _OPTIONS, tuple[str, ...]()
    if _OLD_OPTIONS in values:
        if _OPTIONS in values and values[_OPTIONS] != values[_OLD_OPTIONS]:
            raise wrong((_OLD_OPTIONS,), f"differs from {_OPTIONS}, the name that VMAF's own harness reads; remove it")
        if _OPTIONS not in values:
            name = _OLD_OPTIONS
            warnings = (f"{path}: {_OLD_OPTIONS} is not read by VMAF's own harness; call it {_OPTIONS}",)
    options = _feature_options(name, values.get(name), given, wrong)
    ordered = sorted(atoms, key=lambda atom: feature_name(*atom))
    return FeatureParam(
        atoms=tuple(ordered),
        options=tuple(_options_of(find_feature(*each), options.get(each[0], {})) for each in ordered)
        if options
        else (),
        warnings=warnings,
        plugins=tuple(sorted(uses, key=lambda use: use.name)),
    )


MakeError = Callable[[Place, str], HarnessError]


def error_maker(path: Path) -> MakeError:
    """Makes errors with the line, for which the file is read once more."""
    return lambda place, problem: read_literals(path).error(place, problem)


def _feature_options(
    field: str, given: object, features: Mapping[str, object], wrong: MakeError
) -> dict[str, dict[str, Any]]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise wrong((field,), f"expected a dictionary, got {short_text(given)}")
    for aggregate, options in given.items():
        place: Place = (field, str(aggregate))
        if aggregate not in features:
            raise wrong(place, f"has options, but feature_dict has no {aggregate}")
        if aggregate not in FEATURES:
            raise wrong(place, f"has options, but the plug-in {aggregate} takes none")
        if not isinstance(options, dict):
            raise wrong(place, f"expected a dictionary of options, got {short_text(options)}")
        for name, value in options.items():
            if (problem := option_problem(name, value)) is not None:
                raise wrong((*place, str(name)), problem)
    return {aggregate: dict(options) for aggregate, options in given.items() if options}


def _kind_problem(kind: object) -> str:
    """What to say of a kind of features that libvmaf has not."""
    if isinstance(kind, str) and kind in NOT_IN_LIBVMAF:
        return f"libvmaf does not have these: {NOT_IN_LIBVMAF[kind]}"
    names = [*FEATURES, *installed(PLUGIN_FEATURES)]
    close = get_close_matches(str(kind), names, n=1)
    known = f"known are {', '.join(names)}; a package may bring others"
    return f"unknown features; {f'is {close[0]} meant?' if close else known}"


def _options_of(feature: Feature | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options go by their first word, ``adm_enhn_gain_limit`` to adm; those without such a word by the extractor."""
    extractor = feature.extractor if feature else ""
    family = extractor.removeprefix("float_").partition("_")[0] + "_"
    others = [name for name in OPTIONS.get(extractor, {}) if not _BY_FAMILY.fullmatch(name)]
    return {name: value for name, value in options.items() if name.startswith(family) or name in others}


def option_problem(name: object, value: object) -> str | None:
    """What is wrong with an option of an extractor, which becomes part of a filter's arguments; None where nothing is.

    Marks in it would begin other extractors, of which some write files.
    """
    if name in OF_ENCODE:
        return f"is of a video, not of a feature: give it to each of dis_videos in the recipe ({name})"
    if not isinstance(name, str) or not (_BY_FAMILY.fullmatch(name) or name in _OTHER_OPTIONS):
        return "is of no extractor; options begin with adm_, vif_, motion_, cambi_ or speed_"
    is_text = isinstance(value, str) and re.fullmatch(r"[\w.-]+", value)
    if not is_text and not isinstance(value, bool) and not is_number(value):
        return f"expected a number, true or false, or a name, got {short_text(value)}"
    return None
