// Bilinear samples where the matrix neither turns nor bends.
#pragma once

#include "carver.hpp"
#include "warp_place.hpp"
#include "warp_rows.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// from[index] per lane, each index in [0, 2 LANES), with from[0 .. 2 LANES) readable.
PIXELWISE_INLINE Floats pick_wide(const float* from, Ints index) {
#if defined(__AVX512F__)
    return _mm512_permutex2var_ps(load(from), (__m512i)index, load(from + LANES));
#elif defined(__AVX2__)
    const Floats left = _mm256_permutevar8x32_ps(load(from), (__m256i)index);
    const Floats right = _mm256_permutevar8x32_ps(load(from + LANES), (__m256i)index);
    return index < LANES ? left : right;
#else
    return pick_near(from, index);
#endif
}

// No rotation and no perspective: rows are mixed first, over all columns that are needed, and then
// columns by tables, with permutations inside registers. Blocks never shrink by 2 or more, since
// the input is reduced, so that LANES outputs lie within 2 LANES columns.
class StraightSampler {
   public:
    StraightSampler(const WarpJob& job, Carver& carver)
        : job_(job), span_(span_of(job)), buffers_(take(job, carver)), rows_(job, buffers_.sums),
          inside_columns_(inside_of(job.place.matrix[0], job.place.matrix[2], job.place.width,
                                    job.place.out_width)) {
        const int columns = job.place.out_width;
        int widest = 0;
        for (int x = 0; x < columns; ++x) {
            const Tap tap = column_tap(job, x);
            buffers_.low[x] = tap.low - span_.first;
            buffers_.low_weight[x] = 1.0f - tap.weight;
            buffers_.high_weight[x] = tap.weight;
        }
        for (int x = columns; x < padded(columns); ++x) {
            buffers_.low[x] = buffers_.low[columns - 1];
            buffers_.low_weight[x] = buffers_.high_weight[x] = 0.0f;
        }
        for (int x = 0; x < columns; x += LANES) {
            const int ends[2] = {buffers_.low[x], buffers_.low[x + LANES - 1]};
            widest = most(widest, most(ends[0], ends[1]) - least(ends[0], ends[1]) + 1);
        }
        near_ = widest <= LANES;
    }

    struct Buffers {
        float* upper;  // [3, stride] each
        float* lower;
        float* line;
        std::int32_t* low;  // first column of the taps, from the first needed on
        float* low_weight;
        float* high_weight;
        std::uint8_t* bytes;
        std::uint32_t* sums;
    };

    static Buffers take(const WarpJob& job, Carver& carver) {
        const Span span = span_of(job);
        const std::size_t count = 3 * static_cast<std::size_t>(span.stride);
        const std::size_t columns = static_cast<std::size_t>(padded(job.place.out_width));
        return {carver.take<float>(count),
                carver.take<float>(count),
                carver.take<float>(count),
                carver.take<std::int32_t>(columns),
                carver.take<float>(columns),
                carver.take<float>(columns),
                carver.take<std::uint8_t>(count),
                carver.take<std::uint32_t>(Rows::scratch(job, span.count))};
    }

    void row(int y, float* out, int stride) {
        const double position = along(job_.place.matrix[4], y, job_.place.matrix[5]);
        if (!(position >= 0.0 && position < job_.place.height)) {
            fill(out, stride, 0, job_.place.out_width);
            return;
        }
        const int last = Rows::height(job_) - 1;
        const Tap tap = tap_at(position, job_.reduce_y, last);
        fetch(tap.low, least(tap.low + 1, last));
        mix_rows(tap.weight);
        if (near_) {
            columns<true>(out, stride);
        } else {
            columns<false>(out, stride);
        }
        fill(out, stride, 0, least(inside_columns_.first, job_.place.out_width));
        fill(out, stride, inside_columns_.last, job_.place.out_width);
    }

   private:
    // Columns of the picture that the output needs.
    struct Span {
        int first;
        int count;
        int stride;
    };

    static Tap column_tap(const WarpJob& job, int x) {
        return tap_at(along(job.place.matrix[0], x, job.place.matrix[2]), job.reduce_x,
                      Rows::width(job) - 1);
    }

    static Span span_of(const WarpJob& job) {
        const int ends[2] = {column_tap(job, 0).low, column_tap(job, job.place.out_width - 1).low};
        const int first = least(ends[0], ends[1]);
        const int count = least(most(ends[0], ends[1]) + 2, Rows::width(job)) - first;
        return {first, count, padded(count + 1)};
    }

    void fetch(int upper, int lower) {
        if (upper_row_ != upper) {
            if (lower_row_ == upper) {
                swap();
            } else {
                if (upper_row_ == lower) swap();
                convert(upper, buffers_.upper);
                upper_row_ = upper;
            }
        }
        if (lower_row_ != lower) {
            convert(lower, buffers_.lower);
            lower_row_ = lower;
        }
    }

    void swap() {
        float* const buffer = buffers_.upper;
        buffers_.upper = buffers_.lower;
        buffers_.lower = buffer;
        const int row = upper_row_;
        upper_row_ = lower_row_;
        lower_row_ = row;
    }

    void convert(int row, float* out) const {
        const std::uint8_t* __restrict from =
            rows_.row(row, span_.first, span_.count, buffers_.bytes);
        float* __restrict red = out;
        float* __restrict green = out + span_.stride;
        float* __restrict blue = out + 2 * span_.stride;
        for (int x = 0; x < span_.count; ++x) {
            red[x] = from[3 * x];
            green[x] = from[3 * x + 1];
            blue[x] = from[3 * x + 2];
        }
        // What the padding holds gets a weight of 0, which only makes 0 of a number.
        for (int x = span_.count; x < span_.stride; ++x) red[x] = green[x] = blue[x] = 0.0f;
    }

    void mix_rows(float weight) const {
        const float* __restrict upper = buffers_.upper;
        const float* __restrict lower = buffers_.lower;
        float* __restrict line = buffers_.line;
        const float keep = 1.0f - weight;
        for (int i = 0; i < 3 * span_.stride; ++i) line[i] = upper[i] * keep + lower[i] * weight;
    }

    template <bool Near>
    void columns(float* out, int stride) const {
        for (int x = 0; x < job_.place.out_width; x += LANES) {
            const std::int32_t base = least(buffers_.low[x], buffers_.low[x + LANES - 1]);
            const Ints index = load(buffers_.low + x) - spread(base);
            const Floats low_weight = load(buffers_.low_weight + x);
            const Floats high_weight = load(buffers_.high_weight + x);
            const float* from = buffers_.line + base;
            for (int c = 0; c < 3; ++c, from += span_.stride) {
                const Floats low = Near ? pick_near(from, index) : pick_wide(from, index);
                const Floats high = Near ? pick_near(from + 1, index) : pick_wide(from + 1, index);
                store(out + c * stride + x, low * low_weight + high * high_weight);
            }
        }
    }

    void fill(float* out, int stride, int first, int last) const {
        for (int c = 0; c < 3; ++c) {
            for (int x = first; x < last; ++x) out[c * stride + x] = job_.fill[c];
        }
    }

    const WarpJob& job_;
    Span span_;
    Buffers buffers_;
    Rows rows_;
    Inside inside_columns_;
    bool near_ = false;
    int upper_row_ = -1;
    int lower_row_ = -1;
};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
