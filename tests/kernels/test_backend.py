from __future__ import annotations

import subprocess
import sys

import numpy as np

from pixelwise import kernels

WITHOUT_NATIVE = """
import sys, warnings
sys.modules["pixelwise.kernels._native"] = None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np
    from pixelwise import kernels
    from pixelwise.errors import ArrayError
    import pixelwise.kernels.decode
assert not kernels.COMPILED
(warning,) = [entry for entry in caught if "pixelwise" in str(entry.message)]
assert warning.category is RuntimeWarning
assert "pip install" in str(warning.message)
Axis = kernels.Axis
rng = np.random.default_rng(0)
scores = rng.normal(size=(3, 5, 6)).astype(np.float32)
case = (scores, Axis.half_pixel(11, 5), Axis.half_pixel(13, 6))
labels = kernels.decode_labels(*case)
flat = kernels.decode_probabilities(*case).reshape(3, -1)
image, palette = np.zeros((11, 13, 3), np.uint8), np.zeros((3, 3), np.uint8)
for call in (
    lambda: kernels.count_labels(labels, 1),
    lambda: kernels.count_cells(labels, [0, 11], [0, 13], 1),
    lambda: kernels.blend(image, labels, palette[:1], opacity=0.5),
    lambda: kernels.confusion_counts(labels, labels, 1),
    lambda: kernels.calibration_sums(flat, 3 + labels.reshape(-1), bins=5),
    lambda: kernels.calibration_sums(2 * flat, labels.reshape(-1), bins=5),
    lambda: kernels.calibration_sums_of_scores(*case, 3 + labels, bins=5),
    lambda: kernels.calibration_sums_of_scores(np.inf * scores, *case[1:], labels, bins=5),
    lambda: kernels.threshold_counts(flat[0], 2 + labels.reshape(-1)),
    lambda: kernels.threshold_counts(1 + flat[0], 0 * labels.reshape(-1)),
):
    try:
        call()
    except ArrayError:
        continue
    raise SystemExit("what cannot be counted was accepted")
assert kernels.count_labels(labels, 3).sum() == labels.size
assert kernels.count_cells(labels, [0, 5, 11], [0, 13], 3).sum() == labels.size
assert kernels.label_regions(labels).area.sum() == labels.size
assert kernels.count_overlaps(labels, image[..., 0]).pixels.sum() == labels.size
assert kernels.blend(image, labels, palette, opacity=0.5).shape == image.shape
assert kernels.normalise(image, [1, 1, 1], [0, 0, 0], (12, 14)).shape == (3, 12, 14)
assert kernels.decode_confidence(*case).shape == labels.shape
assert kernels.decode_probability(scores, 1, *case[1:]).shape == labels.shape
assert kernels.decode_scores(*case).shape == (3, 11, 13)
assert kernels.decode_probabilities(*case).shape == (3, 11, 13)
matrix, normal = np.diag([0.7, 2.3, 1.0]), {"scale": [1, 1, 1], "shift": [0, 0, 0]}
assert kernels.warp_image(image, matrix, (4, 5), **normal).shape == (3, 4, 5)
assert kernels.warp_bytes(image, matrix, (4, 5)).shape == (4, 5, 3)
assert kernels.warp_ids(labels, matrix, (4, 5), fill=9).shape == (4, 5)
assert kernels.warp_raster(image, matrix, (4, 5), fill=[0, 0, 0], **normal).shape == (3, 4, 5)
assert kernels.blur(np.ones((2, 5, 6), np.float32), 0.8).shape == (2, 5, 6)
loss = (scores[None], labels[None], *case[1:], kernels.LossRule(3, 255))
total, gradient = kernels.upsampled_loss_gradient(*loss)
assert kernels.upsampled_loss_sum(*loss) == total > 0
assert gradient.shape == (1, 3, 5, 6)
assert kernels.confusion_counts(labels, labels, 3).trace() == labels.size
assert kernels.near_borders(labels, 1, fill=9).shape == labels.shape
contours = kernels.contour_points(labels, 3)
assert kernels.contour_distances(contours, contours).tolist() == [0] * contours.counts.sum()
assert kernels.contours_near(contours, contours, 0).all()
assert (kernels.relabel(labels, np.array([2, 1, 0], np.uint16)) == 2 - labels).all()
refined = kernels.dense_crf(kernels.decode_scores(*case), image)
assert refined.shape == (3, 11, 13)
assert kernels.guided_filter(refined, image, radius=2).shape == refined.shape
once = np.ones((1, 1), np.int64)
ranked = np.array([[1]], np.uint8), np.zeros(1, np.int32), once, once[0]
assert kernels.average_precision(*ranked).tolist() == [[1]]
assert kernels.all_finite(scores)
assert not kernels.all_finite(np.full(3, np.nan, np.float32))
kernels.fade(scores, scores, np.ones(6, np.float32), along="columns")
assert kernels.calibration_sums(flat, labels.reshape(-1), bins=5)[-3] == labels.size
assert kernels.calibration_sums_of_scores(*case, labels, bins=5)[-3] == labels.size
assert kernels.threshold_counts(flat[0], 0 * labels.reshape(-1)).sum() == labels.size
print(labels.tobytes().hex())
"""


def test_without_the_extension_the_twins_answer_and_say_so_once():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NATIVE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    scores = np.random.default_rng(0).normal(size=(3, 5, 6)).astype(np.float32)
    axes = (kernels.Axis.half_pixel(11, 5), kernels.Axis.half_pixel(13, 6))
    assert done.stdout.strip() == kernels.decode_labels(scores, *axes).tobytes().hex()


def test_importing_the_kernels_loads_numpy_alone():
    code = "import sys, pixelwise.kernels; print('torch' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_public_names_are_pinned():
    assert kernels.__all__ == [
        "COMPILED",
        "Axis",
        "Contours",
        "LossRule",
        "Overlaps",
        "PolygonStream",
        "Polygons",
        "RegionMeasures",
        "Regions",
        "all_finite",
        "average_precision",
        "blend",
        "blur",
        "calibration_sums",
        "calibration_sums_of_scores",
        "confusion_counts",
        "contour_distances",
        "contour_points",
        "contours_near",
        "count_cells",
        "count_labels",
        "count_overlaps",
        "decode_confidence",
        "decode_labels",
        "decode_probabilities",
        "decode_probability",
        "decode_scores",
        "dense_crf",
        "fade",
        "guided_filter",
        "label_regions",
        "measure_regions",
        "near_borders",
        "normalise",
        "relabel",
        "threshold_counts",
        "trace_polygons",
        "undo_png_filters",
        "upsampled_loss_gradient",
        "upsampled_loss_sum",
        "warp_bytes",
        "warp_ids",
        "warp_image",
        "warp_raster",
    ]
    assert all(hasattr(kernels, name) for name in kernels.__all__)
