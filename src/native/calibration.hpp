// What the kernels of calibration and of thresholds work on, and the entry points that every
// instruction-set variant of calibration.cpp fills. This header is shared between variants: data
// only, no inline code.
#pragma once

#include <cstddef>
#include <cstdint>

#include "decode.hpp"

namespace pixelwise {

// What a kernel may find, as bits of its answer.
constexpr int OUTSIDE_IDS = 1;
constexpr int NO_PROBABILITIES = 2;

struct Truth {
    const void* ids;  // [pixels] of whole numbers
    bool ignores;     // is truth of ignore_index left out?
    std::int64_t ignore_index;
};

// Sums, float64 [(1 + rows) * 3 * bins + 3], are added to: for the best row, then for each row, the
// pixels of each bin, the sum of its probability, and the pixels where it is the truth; then
// pixels, squared distances, and negative log-likelihood.

struct ProbabilityJob {
    const float* values;  // [rows, pixels]
    std::int64_t pixels;
    std::int32_t rows;
    std::int32_t bins;
    Truth truth;
};

struct ScoreJob {
    DecodeJob decode;
    const std::int32_t* row_of;  // [decode.classes]: the row that a class is counted in
    std::int32_t rows;
    std::int32_t bins;
    Truth truth;  // of the pixels of the output
};

struct ThresholdJob {
    const float* values;  // [pixels]
    std::int64_t pixels;
    Truth truth;  // 0 or 1
};

// Thresholds are the float32 between 2^-24 and 1/2 whose lower 18 bits are 0, and 1 less each.
constexpr int THRESHOLD_SHIFT = 18;
constexpr std::int32_t THRESHOLD_LOWEST = (127 - 24) << (23 - THRESHOLD_SHIFT);
constexpr std::int32_t THRESHOLD_HALF = 23 << (23 - THRESHOLD_SHIFT);
constexpr std::int32_t THRESHOLD_BINS = 2 * THRESHOLD_HALF;

// The truth is uint8, uint16, int32 or int64, in this order.
constexpr int TRUTH_TYPES = 4;

// `workspace` is scratch of as many bytes as the kernel asks for, aligned to 64.
struct CalibrationKernels {
    std::size_t (*probability_bytes)(const ProbabilityJob& job);
    // Pixels first <= i < last.
    int (*probabilities[TRUTH_TYPES])(const ProbabilityJob& job, std::int64_t first,
                                      std::int64_t last, char* workspace, double* sums);
    std::size_t (*score_bytes)(const ScoreJob& job);
    // Output rows first <= y < last.
    int (*scores[TRUTH_TYPES])(const ScoreJob& job, int first, int last, char* workspace,
                               double* sums);
    // Pixels first <= i < last, added to counts [2, THRESHOLD_BINS].
    int (*thresholds[TRUTH_TYPES])(const ThresholdJob& job, std::int64_t first, std::int64_t last,
                                   std::int64_t* counts);
};

namespace baseline {
extern const CalibrationKernels calibration_kernels;
}
namespace avx2 {
extern const CalibrationKernels calibration_kernels;
}
namespace avx512 {
extern const CalibrationKernels calibration_kernels;
}

}  // namespace pixelwise
