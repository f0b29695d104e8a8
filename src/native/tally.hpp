// Calibration sums of a tile of pixels, the same bits for every instruction set.
//
// Probabilities are float32, sums float64. Most probabilities lie in the lowest bin: they are added
// in sixteen sums of every sixteenth pixel, which are added up at the end of the tile; what lies
// above is added to its bin in the order of the pixels.
#pragma once

#include <cmath>

#include "calibration.hpp"
#include "carver.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

constexpr int STRANDS = 16;  // a multiple of LANES
constexpr int TILE = 1024;   // pixels; a multiple of STRANDS
constexpr int SUMS = 3;
constexpr float SUM_TOLERANCE = 1e-3f;
constexpr double LEAST_PROBABILITY = 1e-37;
// The product of so many probabilities is still a normal number.
constexpr int FACTORS = 8;

// Sums of every sixteenth value, and of its square.
struct Strands {
#if defined(__AVX512F__)
    __m512d sums[2] = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    __m512d squares[2] = {_mm512_setzero_pd(), _mm512_setzero_pd()};
#elif defined(__AVX2__)
    __m256d sums[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(),
                       _mm256_setzero_pd()};
    __m256d squares[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(),
                          _mm256_setzero_pd()};
#else
    double sums[STRANDS] = {};
    double squares[STRANDS] = {};
#endif
};

PIXELWISE_INLINE void add_strands(Strands& strands, const float* values) {
#if defined(__AVX512F__)
    for (int n = 0; n < 2; ++n) {
        const __m512d part = _mm512_cvtps_pd(_mm256_loadu_ps(values + 8 * n));
        strands.sums[n] = _mm512_add_pd(strands.sums[n], part);
        strands.squares[n] = _mm512_add_pd(strands.squares[n], _mm512_mul_pd(part, part));
    }
#elif defined(__AVX2__)
    for (int n = 0; n < 4; ++n) {
        const __m256d part = _mm256_cvtps_pd(_mm_loadu_ps(values + 4 * n));
        strands.sums[n] = _mm256_add_pd(strands.sums[n], part);
        strands.squares[n] = _mm256_add_pd(strands.squares[n], _mm256_mul_pd(part, part));
    }
#else
    for (int n = 0; n < STRANDS; ++n) {
        const double part = values[n];
        strands.sums[n] += part;
        strands.squares[n] += part * part;
    }
#endif
}

template <class Parts>
PIXELWISE_INLINE double total_of(const Parts& parts) {
    double each[STRANDS];
    static_assert(sizeof each == sizeof parts, "sixteen sums");
    std::memcpy(each, &parts, sizeof each);
    double total = 0;
    for (int n = 0; n < STRANDS; ++n) total += each[n];
    return total;
}

// What is known of the pixels of a tile.
struct TileBuffers {
    std::int32_t* ids;       // [TILE]: the row of the truth; -1 where none counts
    float* counted;          // [TILE]: 1 where it counts, else 0
    float* best;             // [TILE]
    std::int32_t* best_row;  // [TILE]
    float* total;            // [TILE]: over the rows
    float* low;              // [TILE]: probabilities of the lowest bin of one row, 0 elsewhere
};

static TileBuffers take_tile_buffers(Carver& carver) {
    return {carver.take<std::int32_t>(TILE), carver.take<float>(TILE), carver.take<float>(TILE),
            carver.take<std::int32_t>(TILE), carver.take<float>(TILE), carver.take<float>(TILE)};
}

// Reads the truth of `count` pixels; what follows them in the tile counts nowhere.
template <class Id>
static int read_truth(const Id* from, const Truth& truth, std::int32_t rows, int count,
                      const TileBuffers& buffers) {
    int found = 0;
    for (int i = 0; i < count; ++i) {
        const std::int64_t id = from[i];
        const bool ignored = truth.ignores && id == truth.ignore_index;
        const bool inside = id >= 0 && id < rows;
        found |= ignored || inside ? 0 : OUTSIDE_IDS;
        const bool counts = inside && !ignored;
        buffers.ids[i] = counts ? static_cast<std::int32_t>(id) : -1;
        buffers.counted[i] = counts ? 1.0f : 0.0f;
    }
    for (int i = count; i < (count + STRANDS - 1) / STRANDS * STRANDS; ++i) {
        buffers.ids[i] = -1;
        buffers.counted[i] = 0.0f;
    }
    return found;
}

// Compared before it is cut to a whole number: what is no probability may be far above these.
PIXELWISE_INLINE int bin_of(float probability, float bins, int last) {
    const float place = probability * bins;
    return place < static_cast<float>(last) ? static_cast<int>(place) : last;
}

struct Tally {
    std::int32_t rows;
    std::int32_t bins;
    TileBuffers buffers;
    double* sums;
};

// Rows lie far apart: no processor foresees where the next one begins.
PIXELWISE_INLINE void prefetch(const float* from) {
#if defined(__GNUC__)
    __builtin_prefetch(from);
#else
    (void)from;
#endif
}

// Adds one row of a tile, but for the truth of its pixels; returns the sum of squares. `next` is
// what is read after it.
PIXELWISE_INLINE double add_row(const Tally& tally, std::int32_t row, const float* values,
                                const float* next, int count, int counted, Floats& smallest) {
    const TileBuffers& buffers = tally.buffers;
    double* const pixels = tally.sums + static_cast<std::size_t>(1 + row) * SUMS * tally.bins;
    double* const sums = pixels + tally.bins;
    // Copies, because the compiler cannot know that no store changes what is behind a reference.
    float* const __restrict total = buffers.total;
    float* const __restrict best = buffers.best;
    std::int32_t* const __restrict best_row = buffers.best_row;
    const float* const __restrict is_counted = buffers.counted;
    float* const __restrict low = buffers.low;
    const float bins = static_cast<float>(tally.bins);
    const int last = tally.bins - 1;
    const Floats one = spread(1.0f);
    Floats least_value = smallest;
    double squares = 0;
    int above = 0;
    for (int i = 0; i < count; i += LANES) {
        prefetch(next + i);
        const Floats value = load(values + i);
        least_value = smaller(value, least_value);
        store(total + i, load(total + i) + value);
        const Floats known = load(best + i);
        store(best_row + i, value > known ? spread(row) : load(best_row + i));
        store(best + i, larger(value, known));
        const Floats kept = value * load(is_counted + i);
        const Floats place = kept * spread(bins);
        store(low + i, place < one ? kept : Floats{});
        for (std::uint32_t rest = at_least(place, one); rest; rest &= rest - 1) {
            const float probability = values[i + lowest_bit(rest)];
            const int bin = bin_of(probability, bins, last);
            pixels[bin] += 1;
            sums[bin] += probability;
            squares += static_cast<double>(probability) * probability;
            ++above;
        }
    }
    smallest = least_value;
    for (int i = (count + LANES - 1) / LANES * LANES; i % STRANDS; ++i) low[i] = 0;
    Strands strands;
    for (int i = 0; i < count; i += STRANDS) add_strands(strands, low + i);
    pixels[0] += counted - above;
    sums[0] += total_of(strands.sums);
    return squares + total_of(strands.squares);
}

// Adds `count` pixels, at most TILE, whose truth is read; values[row * stride + pixel] up to the
// next multiple of LANES may be read. The sums are of no use where they are no probabilities.
static int add_tile(const Tally& tally, const float* values, std::size_t stride, int count) {
    const TileBuffers& buffers = tally.buffers;
    int counted = 0;
    for (int i = 0; i < count; i += LANES) {
        store(buffers.total + i, Floats{});
        store(buffers.best + i, spread(-1.0f));
        store(buffers.best_row + i, spread(std::int32_t{0}));
    }
    for (int i = 0; i < count; ++i) counted += buffers.ids[i] >= 0;
    Floats smallest{};
    double squares = 0;
    for (std::int32_t row = 0; row < tally.rows; ++row) {
        const float* const own = values + row * stride;
        const float* const next = row + 1 < tally.rows ? own + stride : values + count;
        squares += add_row(tally, row, own, next, count, counted, smallest);
    }
    const Floats tolerance = spread(SUM_TOLERANCE);
    std::uint32_t sound = at_least(smallest, Floats{});
    for (int i = 0; i < count; i += LANES) {
        const Floats off = load(buffers.total + i) - spread(1.0f);
        sound &= at_least(tolerance, off) & at_least(off, Floats{} - tolerance);
    }
    // A NaN is in no order to anything.
    if (sound != (1u << LANES) - 1) return NO_PROBABILITIES;

    const int last = tally.bins - 1;
    const float bins = static_cast<float>(tally.bins);
    double likelihood = 0, factors = 1, truths = 0;
    int factor = 0;
    for (int i = 0; i < count; ++i) {
        const std::int32_t id = buffers.ids[i];
        if (id < 0) continue;
        double* const best = tally.sums + bin_of(buffers.best[i], bins, last);
        best[0] += 1;
        best[tally.bins] += buffers.best[i];
        best[2 * tally.bins] += buffers.best_row[i] == id;
        const float right = values[id * stride + i];
        const std::size_t table = static_cast<std::size_t>(1 + id) * SUMS + 2;
        tally.sums[table * tally.bins + bin_of(right, bins, last)] += 1;
        truths += right;
        factors *= right > LEAST_PROBABILITY ? right : LEAST_PROBABILITY;
        if (++factor == FACTORS) {
            likelihood -= std::log(factors);
            factors = 1;
            factor = 0;
        }
    }
    likelihood -= std::log(factors);
    double* const whole =
        tally.sums + (1 + static_cast<std::size_t>(tally.rows)) * SUMS * tally.bins;
    whole[0] += counted;
    whole[1] += squares - 2 * truths + counted;
    whole[2] += likelihood;
    return 0;
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
