"""What libvmaf's log calls a feature, and whether it took the options that were given for it.

libvmaf ignores an option that it does not know, and says nothing. Its log tells: every option whose value is not the
default adds to the names of the extractor's metrics, in the alphabetical order of the options, its short name and its
value (``integer_adm2_egl_1``), of a yes-or-no option the short name alone (``motion2_force_0``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.features import FEATURES, find_feature

Value = bool | int | float | str

# Of each extractor: option -> (what it adds to a name, None where it adds nothing; its default).
# From libvmaf/src/feature/*.c of 2026-08; an option that is not here counts as taken where a name shows it.
_COMMON: dict[str, tuple[str | None, Value]] = {"debug": (None, False)}
_ADM: dict[str, tuple[str | None, Value]] = _COMMON | {
    "adm_csf_diag_scale": ("scfd", 1.0),
    "adm_csf_mode": ("csf", 0),
    "adm_csf_scale": ("scf", 1.0),
    "adm_dlm_weight": ("dlmw", 0.5),
    "adm_enhn_gain_limit": ("egl", 100.0),
    "adm_min_val": ("min", 0.0),
    "adm_noise_weight": ("nw", 0.03125),
    "adm_norm_view_dist": ("nvd", 3.0),
    "adm_skip_scale0": ("ssz", False),
}
_VIF: dict[str, tuple[str | None, Value]] = _COMMON | {
    "vif_enhn_gain_limit": ("egl", 100.0),
    "vif_skip_scale0": ("ssclz", False),
}
_MOTION: dict[str, tuple[str | None, Value]] = _COMMON | {
    "motion_blend_factor": ("mbf", 1.0),
    "motion_blend_offset": ("mbo", 40.0),
    "motion_force_zero": ("force_0", False),
    "motion_fps_weight": ("mfw", 1.0),
    "motion_max_val": ("mmxv", 10000.0),
}
_SPEED: dict[str, tuple[str | None, Value]] = {
    "speed_kernelscale": ("ks", 1.0),
    "speed_max_val": ("mxv", 1000.0),
    "speed_nn_floor": ("nnf", 0.0),
    "speed_prescale": ("ps", 1.0),
    "speed_prescale_method": ("psm", "nearest"),
    "speed_sigma_nn": ("snn", 0.29),
}
OPTIONS: Mapping[str, Mapping[str, tuple[str | None, Value]]] = {
    "adm": _ADM | {"adm_ref_display_height": ("rdh", 1080), "adm_skip_aim": (None, False)},
    "float_adm": _ADM
    | {"adm_ref_display_height": ("rdf", 1080), "adm_adm3_apply_hm": ("aah", False), "adm_bypass_cm": ("bcm", 0)}
    | {"adm_p_norm": ("apn", 3.0), "adm_skip_aim_scale": ("sasc", -1)}
    | {f"adm_f{i}s{scale}": (f"f{i}s{scale}", -1.0) for i in (1, 2) for scale in range(4)},
    "vif": _VIF,
    "float_vif": _VIF
    | {"vif_kernelscale": ("ks", 1.0), "vif_prescale": ("ps", 1.0), "vif_prescale_method": ("pm", "nearest")}
    | {"vif_sigma_nsq": ("snsq", 2.0)}
    | {f"vif_scale{scale}_min_val": (f"s{scale}miv", 0.0) for scale in (1, 2, 3)},
    "motion": _MOTION | {"motion_five_frame_window": ("mffw", False), "motion_moving_average": ("mma", False)},
    "float_motion": _MOTION
    | {"motion_add_scale1": ("mdc", False), "motion_add_uv": ("mau", False), "motion_filter_size": ("mfs", 5)},
    "float_ansnr": {},
    "cambi": {
        "cambi_eotf": ("ceot", "bt1886"),
        "cambi_high_res_speedup": ("hrs", 0),
        "cambi_max_val": ("cmxv", 1000.0),
        "cambi_topk": ("ctpk", 0.6),
        "cambi_vis_lum_threshold": ("vlt", 0.0),
        "enc_bitdepth": ("encbd", 0),
        "enc_height": ("ench", 0),
        "enc_width": ("encw", 0),
        "eotf": ("eotf", "bt1886"),
        "full_ref": (None, False),
        "max_log_contrast": ("mlc", 2),
        "src_height": ("srch", 0),
        "src_width": ("srcw", 0),
        "topk": ("topk", 0.6),
        "tvi_threshold": ("tvit", 0.019),
        "window_size": ("ws", 65),
    },
    "speed_chroma": _SPEED | {"speed_weight_var_mode": ("wvm", 0)},
    "speed_temporal": _SPEED | {"speed_use_ref_diff": ("urd", False)},
}


def atom_of(name: str) -> tuple[str, str] | None:
    """Kind and atom of a feature's name in a model, such as ``VMAF_integer_feature_adm2_score``; else None."""
    found = re.fullmatch(r"(\w+?_feature)_(\w+)_score", name)
    return (found[1], found[2]) if found else None


def metric_name(name: str) -> str:
    """What libvmaf's log calls a feature of a model, unless options add to its name."""
    kind, atom = atom_of(name) or ("", name)
    found = find_feature(kind, atom)
    if found is None and kind and kind not in FEATURES:
        return name  # of a plug-in
    return found.metric if found else atom


@dataclass(frozen=True, slots=True)
class RequestedMetric:
    """A metric that is looked for: a feature by its name in a model, and the options that it is extracted with."""

    name: str
    options: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, name: str, options: Mapping[str, Value]) -> RequestedMetric:
        """The same of a dictionary."""
        return cls(name, tuple(options.items()))

    @property
    def extractor(self) -> str:
        """The extractor of libvmaf that gives it; blank where that is not known."""
        found = find_feature(*(atom_of(self.name) or ("", "")))
        return found.extractor if found else ""

    @property
    def effect(self) -> tuple[tuple[str, str], ...]:
        """The options that are not at their default, as libvmaf writes them: where these are equal, the numbers are."""
        known = OPTIONS.get(self.extractor, {})
        given = ((name, _libvmaf_text(value)) for name, value in self.options)
        return tuple(
            sorted((name, text) for name, text in given if text != _libvmaf_text(known.get(name, ("", None))[1]))
        )

    def find_in(self, metrics: Iterable[str]) -> str:
        """Which of libvmaf's *metrics* it is.

        Raises HarnessError where none is, or several may be, naming the option that no name of a metric shows.
        """
        known, options = list(metrics), dict(self.options)
        found = self._matching(known, options)
        if len(found) == 1:
            return found[0]
        for count in range(1, len(options) + 1) if not found else ():
            for left_out in combinations(options, count):
                if self._matching(known, {name: options[name] for name in options if name not in left_out}):
                    raise HarnessError(f"feature {self.name}: {self._not_taken(left_out)}")
        raise HarnessError(
            f"feature {self.name}: libvmaf gives no {metric_name(self.name)}"
            f"{' with these options' if options else ''}; it gives {', '.join(known)}"
        )

    def _matching(self, metrics: Sequence[str], options: Mapping[str, Value]) -> list[str]:
        pattern = re.compile(
            re.escape(metric_name(self.name)) + _suffix_pattern(OPTIONS.get(self.extractor, {}), options)
        )
        return [metric for metric in metrics if pattern.fullmatch(metric)]

    def _not_taken(self, options: Sequence[str]) -> str:
        known = [name for name in OPTIONS.get(self.extractor, {}) if name != "debug"]
        close = get_close_matches(options[0], known, n=1)
        meant = f"is {close[0]} meant?" if close and close[0] not in options else f"known are {', '.join(known)}"
        return (
            f"libvmaf did not take {' and '.join(options)} for {self.extractor or 'its extractor'}, "
            f"and would give the numbers without; {meant if known else 'leave it out'}"
        )


def check_metrics(wanted: Iterable[RequestedMetric], metrics: Collection[str]) -> None:
    """Raise HarnessError where one of *wanted* is not among libvmaf's *metrics*, or lacks an option in its name.

    Also where two that should differ have one metric, as some options change numbers and no name (``adm_skip_aim``).
    """
    found: dict[str, RequestedMetric] = {}
    for each in wanted:
        other = found.setdefault(each.find_in(metrics), each)
        of_extractor = {one.effect for one in found.values() if one.extractor == each.extractor}
        silent = [name for name, (short, _) in OPTIONS.get(each.extractor, {}).items() if short is None]
        if len({tuple(pair for pair in effect if pair[0] in silent) for effect in of_extractor}) > 1:
            raise HarnessError(
                f"features {other.name} and others of {each.extractor} differ in {' or '.join(silent[1:])}, which "
                "changes numbers but no name in libvmaf's log; give it to all of them or to none"
            )


def _suffix_pattern(known: Mapping[str, tuple[str | None, Value]], options: Mapping[str, Value]) -> str:
    """The pattern of what *options* add to a name."""
    # An unknown option may add any word, but none that is of another option or makes another atom: adm_scale0, adm_num.
    taken = "|".join([r"scale\d", "num", "den", *(re.escape(short) for short, _ in known.values() if short)])
    unknown = rf"(?!(?:{taken})(?:_|$))[a-z]\w*?"
    parts = []
    for option, value in sorted(options.items()):
        short, default = known.get(option, ("", None))
        if short is None or _libvmaf_text(value) == _libvmaf_text(default):
            continue
        word = re.escape(short) if short else unknown
        is_alone = isinstance(default if short else value, bool)
        parts.append(f"_{word}" if is_alone else f"_{word}_{re.escape(_libvmaf_text(value))}")
    return "".join(parts)


def _libvmaf_text(value: object) -> str:
    """A value as libvmaf writes it into a name; numbers as C's ``%g``."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return f"{float(str(value)):g}"
    except ValueError:
        return str(value)
