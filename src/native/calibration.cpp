// The loops of calibration: probabilities, given or made from low-resolution scores, counted in the
// pass that makes or reads them. CMake compiles this file once per instruction set, each time into a
// namespace of its own named by PIXELWISE_VARIANT, and calibration_bindings.cpp picks the best that
// the CPU can run.
//
// Nothing in here may call an inline function of the standard library: see simd.hpp.
#include "calibration.hpp"

#include "softmax.hpp"
#include "tally.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// ---- Probabilities that are there --------------------------------------------------------------

struct ProbabilityBuffers {
    TileBuffers tile;
    float* rest;  // [rows, STRANDS]: pixels at the end that fill no register
};

static ProbabilityBuffers take_probability_buffers(Carver& carver, const ProbabilityJob& job) {
    ProbabilityBuffers buffers{};
    buffers.tile = take_tile_buffers(carver);
    buffers.rest = carver.take<float>(static_cast<std::size_t>(job.rows) * STRANDS);
    return buffers;
}

static std::size_t probability_bytes(const ProbabilityJob& job) {
    Carver carver{nullptr, 0};
    take_probability_buffers(carver, job);
    return carver.used;
}

template <class Id>
static int probabilities_of(const ProbabilityJob& job, std::int64_t first, std::int64_t last,
                            char* workspace, double* sums) {
    Carver carver{workspace, 0};
    const ProbabilityBuffers buffers = take_probability_buffers(carver, job);
    const Tally tally{job.rows, job.bins, buffers.tile, sums};
    const Id* const ids = static_cast<const Id*>(job.truth.ids);
    const std::size_t stride = static_cast<std::size_t>(job.pixels);
    int found = 0;
    for (std::int64_t start = first; start < last;) {
        const std::int64_t left = last - start;
        int count = left > TILE ? TILE : static_cast<int>(left);
        if (count > STRANDS) count -= count % STRANDS;
        found |= read_truth(ids + start, job.truth, job.rows, count, buffers.tile);
        const float* values = job.values + start;
        if (count % STRANDS) {
            for (std::int32_t row = 0; row < job.rows; ++row) {
                float* const to = buffers.rest + static_cast<std::size_t>(row) * STRANDS;
                for (int i = 0; i < STRANDS; ++i) {
                    to[i] = values[row * stride + least(i, count - 1)];
                }
            }
            found |= add_tile(tally, buffers.rest, STRANDS, count);
        } else {
            found |= add_tile(tally, values, stride, count);
        }
        if (found & NO_PROBABILITIES) return found;
        start += count;
    }
    return found;
}

// ---- Probabilities of scores -------------------------------------------------------------------

constexpr int SCORE_TILE = 256;  // pixels: the probabilities of 19 classes stay in the first cache

struct ScoreBuffers {
    SoftmaxBuffers softmax;
    TileBuffers tile;
    float* values;  // [rows, SCORE_TILE]
};

static ScoreBuffers take_score_buffers(Carver& carver, const ScoreJob& job) {
    ScoreBuffers buffers{};
    buffers.softmax = take_softmax_buffers(carver, job.decode);
    buffers.tile = take_tile_buffers(carver);
    buffers.values = carver.take<float>(static_cast<std::size_t>(job.rows) * SCORE_TILE);
    return buffers;
}

static std::size_t score_bytes(const ScoreJob& job) {
    Carver carver{nullptr, 0};
    take_score_buffers(carver, job);
    return carver.used;
}

// Scores become e^(score - largest); returns their sum, that of `sum_of_exponentials`.
PIXELWISE_INLINE Floats raise(float* block, int classes, Floats largest, const Summing& summing) {
    Floats sum{};
    for (int c = 0; c < classes;) {
        Floats part{};
        const int end = least(c + summing.length, classes);
        for (; c < end; ++c) {
            float* const at = block + static_cast<std::size_t>(c) * LANES;
            const Floats below = load(at) - largest;
            const Floats power = exponential(below);
            store(at, power);
            part += below >= summing.reach ? power : Floats{};
        }
        sum += part;
    }
    return sum;
}

// Probabilities of LANES pixels, [rows, SCORE_TILE]; rows of several classes have their sum.
PIXELWISE_INLINE void place_block(const ScoreJob& job, const float* block, Floats sum, bool merges,
                                  float* to) {
    if (merges) {
        for (std::int32_t row = 0; row < job.rows; ++row) store(to + row * SCORE_TILE, Floats{});
    }
    for (std::int32_t c = 0; c < job.decode.classes; ++c) {
        const Floats value = share(load(block + static_cast<std::size_t>(c) * LANES), sum);
        float* const place = to + static_cast<std::size_t>(job.row_of[c]) * SCORE_TILE;
        store(place, merges ? load(place) + value : value);
    }
}

template <class Id, bool Near>
static int scores_near(const ScoreJob& job, int first, int last, const ScoreBuffers& buffers,
                       double* sums) {
    const DecodeJob& decode = job.decode;
    const Tally tally{job.rows, job.bins, buffers.tile, sums};
    const Summing summing = summing_of(decode.classes);
    const Id* const ids = static_cast<const Id*>(job.truth.ids);
    bool merges = job.rows != decode.classes;
    for (std::int32_t c = 0; c < decode.classes; ++c) merges |= job.row_of[c] != c;
    int found = 0;
    sweep(decode, first, last, buffers.softmax.sweep,
          [&](int y, const Tile& tile, const float* line, int stride) {
              const Id* const truth = ids + static_cast<std::size_t>(y) * decode.columns.size;
              for (int start = tile.first; start < tile.last; start += SCORE_TILE) {
                  const int count = least(SCORE_TILE, tile.last - start);
                  for (int x = 0; x < count; x += LANES) {
                      const Taps taps = taps_at(decode.columns, start + x, tile.first_source);
                      float* const block = buffers.softmax.block;
                      const Floats largest =
                          fill_block<Near>(line, stride, decode.classes, taps, block);
                      const Floats sum = raise(block, decode.classes, largest, summing);
                      place_block(job, block, sum, merges, buffers.values + x);
                  }
                  found |= read_truth(truth + start, job.truth, job.rows, count, buffers.tile);
                  found |= add_tile(tally, buffers.values, SCORE_TILE, count);
              }
          });
    return found;
}

template <class Id>
static int scores_of(const ScoreJob& job, int first, int last, char* workspace, double* sums) {
    Carver carver{workspace, 0};
    const ScoreBuffers buffers = take_score_buffers(carver, job);
    if (widest_block(job.decode.columns) <= LANES) {
        return scores_near<Id, true>(job, first, last, buffers, sums);
    }
    return scores_near<Id, false>(job, first, last, buffers, sums);
}

// ---- Thresholds --------------------------------------------------------------------------------

// The bin of each probability: bins of p hold their lower edge, those of 1 - p their upper one.
// Returns whether all are probabilities.
static bool find_bins(const float* __restrict values, int count, std::int32_t* __restrict bins) {
    int sound = 1;
    for (int i = 0; i < count; ++i) {
        const float value = values[i];
        sound &= (value >= 0.0f) & (value <= 1.0f);
        const std::int32_t high = value >= 0.5f;
        const float near = high ? 1.0f - value : value;
        std::int32_t bits;
        std::memcpy(&bits, &near, sizeof bits);
        std::int32_t step = ((bits - high) >> THRESHOLD_SHIFT) - THRESHOLD_LOWEST;
        step = step < 0 ? 0 : step;
        step = step > THRESHOLD_HALF - 1 ? THRESHOLD_HALF - 1 : step;
        bins[i] = high ? THRESHOLD_BINS - 1 - step : step;
    }
    return sound != 0;
}

template <class Id>
static int thresholds_of(const ThresholdJob& job, std::int64_t first, std::int64_t last,
                         std::int64_t* counts) {
    const Id* const ids = static_cast<const Id*>(job.truth.ids);
    std::int32_t bins[TILE];
    int found = 0;
    for (std::int64_t start = first; start < last; start += TILE) {
        const int count = last - start > TILE ? TILE : static_cast<int>(last - start);
        if (!find_bins(job.values + start, count, bins)) found |= NO_PROBABILITIES;
        for (int i = 0; i < count; ++i) {
            const std::int64_t id = ids[start + i];
            if (job.truth.ignores && id == job.truth.ignore_index) continue;
            if (id != 0 && id != 1) {
                found |= OUTSIDE_IDS;
                continue;
            }
            ++counts[id * THRESHOLD_BINS + bins[i]];
        }
    }
    return found;
}

const CalibrationKernels calibration_kernels = {
#define PIXELWISE_TYPES(function)                                                   \
    {                                                                               \
        function<std::uint8_t>, function<std::uint16_t>, function<std::int32_t>,    \
            function<std::int64_t>                                                  \
    }
    probability_bytes,          PIXELWISE_TYPES(probabilities_of), score_bytes,
    PIXELWISE_TYPES(scores_of), PIXELWISE_TYPES(thresholds_of)
#undef PIXELWISE_TYPES
};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
