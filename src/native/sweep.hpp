// The full loop: interpolated scores of every class at every output pixel, one tile of one row at
// a time and never all at once. Labels of noisy scores, confidence and probabilities stand on it.
#pragma once

#include "carver.hpp"
#include "decode.hpp"
#include "simd.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// The three [classes, stride] buffers of a tile should stay in the second-level cache.
constexpr int TILE_FLOATS = 40000;

// Source columns that the output columns first <= x < last span.
PIXELWISE_INLINE int sources_of(const AxisTable& columns, int first, int last) {
    return columns.high[last - 1] - columns.low[first] + 1;
}

// The most source columns of LANES neighbouring outputs, counted from multiples of LANES on.
static int widest_block(const AxisTable& columns) {
    int widest = 0;
    for (int x = 0; x < columns.size; x += LANES) {
        widest = most(widest, sources_of(columns, x, least(x + LANES, columns.size)));
    }
    return widest;
}

// Source columns that one tile may span: at least one block.
static int tile_span(const DecodeJob& job) {
    const int wanted = most(TILE_FLOATS / job.classes, 4 * LANES);
    return most(widest_block(job.columns),
                least(wanted, sources_of(job.columns, 0, job.columns.size)));
}

// Source columns of a tile, and LANES more that pick_near may read.
static int tile_stride(const DecodeJob& job) {
    return (tile_span(job) + 2 * LANES + 15) / 16 * 16;
}

struct SweepBuffers {
    float* upper;
    float* lower;
    float* line;
};

static SweepBuffers take_sweep_buffers(Carver& carver, const DecodeJob& job) {
    const std::size_t size = static_cast<std::size_t>(job.classes) * tile_stride(job);
    return {carver.take<float>(size), carver.take<float>(size), carver.take<float>(size)};
}

// LANES neighbouring output columns.
struct Taps {
    std::int32_t base;
    Ints low, high;
    Floats low_weight, high_weight;
};

PIXELWISE_INLINE Taps taps_at(const AxisTable& columns, int x, int first_source) {
    const std::int32_t start = columns.low[x];
    return {start - first_source,
            load(columns.low + x) - spread(start),
            load(columns.high + x) - spread(start),
            load(columns.low_weight + x),
            load(columns.high_weight + x)};
}

// The order of operations here and in `blend_rows` is the definition of the interpolated score:
// every path, variant and the NumPy twin compute these bits. Weights are not negative, so the
// result never falls when a score rises; the shortcut of labels.hpp depends on that.
template <bool Near>
PIXELWISE_INLINE Floats interpolate(const float* line, const Taps& taps) {
    const float* from = line + taps.base;
    const Floats low = Near ? pick_near(from, taps.low) : pick(from, taps.low);
    const Floats high = Near ? pick_near(from, taps.high) : pick(from, taps.high);
    return low * taps.low_weight + high * taps.high_weight;
}

static void blend_rows(const float* __restrict upper, const float* __restrict lower,
                       float upper_weight, float lower_weight, std::size_t count,
                       float* __restrict out) {
    for (std::size_t i = 0; i < count; ++i) {
        out[i] = upper[i] * upper_weight + lower[i] * lower_weight;
    }
}

// Class planes often lie a power of two apart, where their rows compete for the same cache sets:
// a compact copy is read many times, the planes once.
static void copy_score_row(const DecodeJob& job, int row, int first, int count, int stride,
                           float* out) {
    const std::size_t plane = static_cast<std::size_t>(job.height) * job.width;
    const float* from = job.scores + static_cast<std::size_t>(row) * job.width + first;
    for (int c = 0; c < job.classes; ++c, from += plane, out += stride) {
        std::memcpy(out, from, sizeof(float) * count);
        std::memset(out + count, 0, sizeof(float) * (stride - count));
    }
}

struct Tile {
    int first;  // output columns first <= x < last
    int last;
    int first_source;
    int sources;
};

static Tile tile_from(const AxisTable& columns, int first, int span) {
    int last = first;
    while (last < columns.size) {
        const int next = least(last + LANES, columns.size);
        if (sources_of(columns, first, next) > span) break;
        last = next;
    }
    return {first, last, columns.low[first], sources_of(columns, first, last)};
}

// Calls body(y, tile, line, stride) with line[class * stride + source - tile.first_source], the
// scores interpolated vertically, for output rows first <= y < last and all tiles.
template <class Body>
static void sweep(const DecodeJob& job, int first, int last, SweepBuffers buffers, Body body) {
    const int stride = tile_stride(job);
    const int span = tile_span(job);
    const std::size_t count = static_cast<std::size_t>(job.classes) * stride;
    for (int x = 0; x < job.columns.size;) {
        const Tile tile = tile_from(job.columns, x, span);
        int upper_row = -1;
        int lower_row = -1;
        for (int y = first; y < last; ++y) {
            if (upper_row != job.rows.low[y]) {
                if (lower_row == job.rows.low[y]) {
                    float* const freed = buffers.upper;
                    buffers.upper = buffers.lower;
                    buffers.lower = freed;
                    lower_row = -1;
                } else {
                    copy_score_row(job, job.rows.low[y], tile.first_source, tile.sources, stride,
                                   buffers.upper);
                }
                upper_row = job.rows.low[y];
            }
            if (lower_row != job.rows.high[y]) {
                copy_score_row(job, job.rows.high[y], tile.first_source, tile.sources, stride,
                               buffers.lower);
                lower_row = job.rows.high[y];
            }
            blend_rows(buffers.upper, buffers.lower, job.rows.low_weight[y],
                       job.rows.high_weight[y], count, buffers.line);
            body(y, tile, buffers.line, stride);
        }
        x = tile.last;
    }
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
