// Along the columns: scores of one row spread to the full width, and the way back of the gradient.
#pragma once

#include "sweep.hpp"
#include "upsampled_loss.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// The way back of one block of LANES output columns. Source base + s gets the sum over steps k of
// value[place[k][s]] * low[k][s], and source base + s + 1 that with `high`.
struct BlockReturn {
    std::int32_t base;
    std::int32_t steps;
};

struct Returns {
    BlockReturn* blocks;
    std::int32_t* place;  // [blocks, LANES steps, LANES]
    float* low;
    float* high;
};

static int blocks_of(const AxisTable& columns) { return (columns.size + LANES - 1) / LANES; }

static Returns take_returns(Carver& carver, const AxisTable& columns) {
    const std::size_t blocks = static_cast<std::size_t>(blocks_of(columns));
    const std::size_t size = blocks * LANES * LANES;
    return {carver.take<BlockReturn>(blocks), carver.take<std::int32_t>(size),
            carver.take<float>(size), carver.take<float>(size)};
}

// Only for blocks that span no more than LANES sources.
static void fill_returns(const AxisTable& columns, const Returns& returns) {
    std::memset(returns.low, 0, sizeof(float) * LANES * LANES * blocks_of(columns));
    std::memset(returns.high, 0, sizeof(float) * LANES * LANES * blocks_of(columns));
    std::memset(returns.place, 0, sizeof(std::int32_t) * LANES * LANES * blocks_of(columns));
    for (int n = 0; n < blocks_of(columns); ++n) {
        const int first = n * LANES;
        BlockReturn& block = returns.blocks[n];
        block = {columns.low[first], 0};
        int step = 0;
        for (int x = first; x < least(first + LANES, columns.size); ++x) {
            step = x > first && columns.low[x] == columns.low[x - 1] ? step + 1 : 0;
            const std::size_t entry =
                (static_cast<std::size_t>(first) + step) * LANES + (columns.low[x] - block.base);
            const bool last = columns.high[x] == columns.low[x];
            returns.place[entry] = x - first;
            returns.low[entry] = columns.low_weight[x] + (last ? columns.high_weight[x] : 0.0f);
            returns.high[entry] = last ? 0.0f : columns.high_weight[x];
            block.steps = most(block.steps, step + 1);
        }
    }
}

// values[0 .. count) at output columns first ... to `line`, whose entry 0 is source first_source.
template <bool Near>
static void add_returned(const AxisTable& columns, const Returns& returns, int first, int count,
                         int first_source, const float* values, float* line) {
    if (!Near) {
        for (int x = first; x < first + count; ++x, ++values) {
            line[columns.low[x] - first_source] += *values * columns.low_weight[x];
            line[columns.high[x] - first_source] += *values * columns.high_weight[x];
        }
        return;
    }
    for (int x = first; x < first + count; x += LANES, values += LANES) {
        const BlockReturn block = returns.blocks[x / LANES];
        std::size_t entry = static_cast<std::size_t>(x) * LANES;
        Floats low{}, high{};
        for (int step = 0; step < block.steps; ++step, entry += LANES) {
            const Floats value = pick_near(values, load(returns.place + entry));
            low += value * load(returns.low + entry);
            high += value * load(returns.high + entry);
        }
        float* const to = line + (block.base - first_source);
        store(to, load(to) + low);
        store(to + 1, load(to + 1) + high);
    }
}

// Row `row` of an image, columns of one tile, to [classes, stride]. False if a score is not finite.
static bool copy_logits(const LossJob& job, int image, int row, int first, int count, int stride,
                        float* out) {
    const std::size_t across = job.channels_last ? job.classes : 1;
    const std::size_t plane =
        job.channels_last ? 1 : static_cast<std::size_t>(job.height) * job.width;
    const std::size_t start =
        static_cast<std::size_t>(image) * job.classes * job.height * job.width +
        (static_cast<std::size_t>(row) * job.width + first) * across;
    std::uint32_t largest_bits = 0;
    for (int c = 0; c < job.classes; ++c, out += stride) {
        const float* const from = job.logits + start + c * plane;
        if (across == 1) {
            std::memcpy(out, from, sizeof(float) * count);
        } else {
            for (int i = 0; i < count; ++i) out[i] = from[i * across];
        }
        std::memset(out + count, 0, sizeof(float) * (stride - count));
        for (int i = 0; i < count; ++i) {
            std::uint32_t score_bits;
            std::memcpy(&score_bits, out + i, sizeof score_bits);
            score_bits &= 0x7fffffffu;
            largest_bits = score_bits > largest_bits ? score_bits : largest_bits;
        }
    }
    return largest_bits < 0x7f800000u;
}

// [classes, stride] scores of a tile to [classes, pixels] at the full width, in units of ln 2.
template <bool Near>
static void spread_row(const LossJob& job, const Tile& tile, const float* line, int stride,
                       int pixels, float* out) {
    for (int x = tile.first; x < tile.last; x += LANES) {
        const Taps taps = taps_at(job.columns, x, tile.first_source);
        const float* from = line;
        float* to = out + (x - tile.first);
        for (int c = 0; c < job.classes; ++c, from += stride, to += pixels) {
            store(to, interpolate<Near>(from, taps) * LOG2_E);
        }
    }
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
