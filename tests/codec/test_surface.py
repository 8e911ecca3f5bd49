"""What the packages offer by name, and what importing them costs."""

import subprocess
import sys

import codec
import defilter
from codec.search.scores import SCORES
from codec.settings import FORMATS, KERNELS, SAMPLINGS, SCORE_SCALES, TAGS


def test_public_names_of_codec() -> None:
    names = ["FileReferences", "FormatError", "album", "best_prediction", "decode", "encode",
             "exact", "gallery", "layered", "prediction", "read_picture", "references_of",
             "residual", "search", "thumbnail", "write_picture"]  # fmt: skip
    assert sorted(codec.__all__) == dir(codec) == names
    assert all(getattr(codec, name) is not None for name in names)
    assert not hasattr(codec, "Any")


def test_public_names_of_defilter() -> None:
    names = ["Analysers", "Extraction", "Look", "NO_ANALYSERS", "UnusableTemplate", "apply",
             "apply_to_files", "default_analysers", "default_network", "embedded_photos", "extract",
             "extract_pair", "fit_pair", "fit_rough_pair", "load_look", "load_look_network",
             "look_from_pair", "look_from_templates", "read_picture", "remove",
             "remove_from_files", "save_look", "transfer", "write_picture"]  # fmt: skip
    assert sorted(defilter.__all__) == dir(defilter) == names
    for name in names:  # functions and classes, no modules of the same name
        assert getattr(defilter, name).__class__.__name__ != "module"


def test_names_of_scores_and_formats_are_those_that_there_are() -> None:
    from codec.search.encoders import NAMES

    assert {name: score.best for name, score in SCORES.items()} == {
        name: best if name != "smallfry" else SCORES[name].best
        for name, best in SCORE_SCALES.items()
    }
    assert set(FORMATS) <= set(NAMES)


def test_help_imports_nothing_heavy() -> None:
    for package in ("codec", "defilter"):
        script = (
            f"import sys, {package}.__main__ as m\n"
            "try: m.main(['--help'])\n"
            "except SystemExit: pass\n"
            "heavy = {'torch', 'numpy', 'cv2', 'PIL', 'scipy', 'av', 'tqdm'} & set(sys.modules)\n"
            "assert not heavy, heavy"
        )
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_versions_are_the_distribution_s() -> None:
    from importlib.metadata import version

    assert codec.__version__ == defilter.__version__ == version("defilter")


def test_names_of_layers_are_those_that_there_are() -> None:
    from codec.layered.geometry import Sampling
    from codec.layered.settings import Tags
    from codec.prediction import Kernel

    assert [one.name.lower() for one in Sampling] == list(SAMPLINGS)
    assert [one.name.lower() for one in Kernel] == list(KERNELS)
    assert [one.value for one in Tags] == list(TAGS)
