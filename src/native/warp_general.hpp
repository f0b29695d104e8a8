// Bilinear samples under any matrix.
#pragma once

#include "carver.hpp"
#include "warp_place.hpp"
#include "warp_rows.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// Any matrix: every output pixel fetches its own four neighbours.
class GeneralSampler {
   public:
    GeneralSampler(const WarpJob& job, Carver& carver)
        : job_(job), region_(region_of(job)), buffers_(take(job, carver)) {
        if (!is_reduced(job)) {
            pixels_ = job.image;
            buffers_.offset[0] = read_along_rows(job.place, job.image, 3);
            return;
        }
        const Rows rows(job, buffers_.sums);
        const std::size_t size = 3 * static_cast<std::size_t>(region_.columns);
        for (int row = 0; row < region_.rows; ++row) {
            rows.row(region_.top + row, region_.left, region_.columns, buffers_.bytes + size * row);
        }
        pixels_ = buffers_.bytes;
    }

    struct Buffers {
        double* u;
        double* v;
        std::int32_t* offset;  // bytes from the first pixel to the upper left one
        std::int32_t* below;   // bytes from there to the lower left one
        float* weight_x;
        float* weight_y;
        float* inside;  // 1 or 0
        std::uint8_t* bytes;
        std::uint32_t* sums;
    };

    static Buffers take(const WarpJob& job, Carver& carver) {
        const std::size_t columns = static_cast<std::size_t>(padded(job.place.out_width));
        const Region region = region_of(job);
        const bool reduced = is_reduced(job);
        const std::size_t pixels = static_cast<std::size_t>(region.columns) * region.rows;
        return {carver.take<double>(columns),
                carver.take<double>(columns),
                carver.take<std::int32_t>(columns),
                carver.take<std::int32_t>(columns),
                carver.take<float>(columns),
                carver.take<float>(columns),
                carver.take<float>(columns),
                carver.take<std::uint8_t>(reduced ? 3 * pixels : 0),
                carver.take<std::uint32_t>(reduced ? Rows::scratch(job, region.columns) : 0)};
    }

    void row(int y, float* out, int stride) {
        project(job_.place, y, buffers_.u, buffers_.v);
        place_taps();
        const std::int32_t last_eight = 3 * region_.columns * region_.rows - 8;
        for (int x = 0; x < job_.place.out_width; x += LANES) {
            const Ints offset = load(buffers_.offset + x);
            const Pair upper = pair(offset, last_eight);
            const Pair lower = pair(offset + load(buffers_.below + x), last_eight);
            const Floats weight_x = load(buffers_.weight_x + x);
            const Floats weight_y = load(buffers_.weight_y + x);
            const Floats inside = load(buffers_.inside + x);
            for (int c = 0; c < 3; ++c) {
                const Floats left = channel(upper.left, c) * (1.0f - weight_y) +
                                    channel(lower.left, c) * weight_y;
                const Floats high = channel(upper.right, c) * (1.0f - weight_y) +
                                    channel(lower.right, c) * weight_y;
                const Floats value = left * (1.0f - weight_x) + high * weight_x;
                const Floats chosen = inside > Floats{} ? value : spread(job_.fill[c]);
                store(out + c * stride + x, chosen);
            }
        }
    }

   private:
    // Two neighbours, each with its three channels in the low bytes.
    struct Pair {
        Words left;
        Words right;
    };

    static Region region_of(const WarpJob& job) {
        if (is_reduced(job)) return needed_region(job.place, job.reduce_y, job.reduce_x);
        return {0, 0, job.place.width, job.place.height};
    }

    static bool is_reduced(const WarpJob& job) { return job.reduce_x > 1 || job.reduce_y > 1; }

    void place_taps() const {
        const int last_x = Rows::width(job_) - 1;
        const int last_y = Rows::height(job_) - 1;
        const double reduce_x = job_.reduce_x;
        const double reduce_y = job_.reduce_y;
        const std::int32_t stride = 3 * region_.columns;
        const std::int32_t start = stride * region_.top + 3 * region_.left;
        const double* __restrict u = buffers_.u;
        const double* __restrict v = buffers_.v;
        std::int32_t* __restrict offset = buffers_.offset;
        std::int32_t* __restrict below = buffers_.below;
        float* __restrict weight_x = buffers_.weight_x;
        float* __restrict weight_y = buffers_.weight_y;
        float* __restrict inside = buffers_.inside;
        const int columns = job_.place.out_width;
        for (int x = 0; x < columns; ++x) {
            const Tap across = tap_at(u[x], reduce_x, last_x);
            const Tap down = tap_at(v[x], reduce_y, last_y);
            const bool here = u[x] >= 0.0;
            offset[x] = here ? stride * down.low + 3 * across.low - start : 0;
            below[x] = here & (down.low < last_y) ? stride : 0;
            weight_x[x] = across.weight;
            weight_y[x] = down.weight;
            inside[x] = here ? 1.0f : 0.0f;
        }
        for (int x = columns; x < padded(columns); ++x) {
            offset[x] = below[x] = 0;
            weight_x[x] = weight_y[x] = inside[x] = 0.0f;
        }
    }

    // At each offset a pixel and the next one, which are six bytes. Eight are read, except within
    // the last eight of the picture.
    Pair pair(Ints offset, std::int32_t last_eight) const {
#if defined(__AVX512F__)
        if (_mm512_cmpgt_epi32_mask((__m512i)offset, (__m512i)spread(last_eight)) == 0) {
            const __m256i low = _mm512_castsi512_si256((__m512i)offset);
            const __m256i high = _mm512_extracti64x4_epi64((__m512i)offset, 1);
            return pair_of(_mm512_i32gather_epi64(low, pixels_, 1),
                           _mm512_i32gather_epi64(high, pixels_, 1));
        }
#endif
        std::int32_t places[LANES];
        std::uint32_t left[LANES], right[LANES];
        std::memcpy(places, &offset, sizeof offset);
        for (int lane = 0; lane < LANES; ++lane) {
            std::uint64_t bytes = 0;
            if (places[lane] <= last_eight) {
                std::memcpy(&bytes, pixels_ + places[lane], 8);
            } else {
                for (int i = 0; i < 6 && places[lane] + i < last_eight + 8; ++i) {
                    bytes |= std::uint64_t{pixels_[places[lane] + i]} << 8 * i;
                }
            }
            left[lane] = static_cast<std::uint32_t>(bytes);
            right[lane] = static_cast<std::uint32_t>(bytes >> 24);
        }
        Pair pixels;
        std::memcpy(&pixels.left, left, sizeof left);
        std::memcpy(&pixels.right, right, sizeof right);
        return pixels;
    }

#if defined(__AVX512F__)
    static Pair pair_of(__m512i low, __m512i high) {
        const auto narrow = [](__m512i a, __m512i b) {
            return (Words)_mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(a)),
                                             _mm512_cvtepi64_epi32(b), 1);
        };
        return {narrow(low, high),
                narrow(_mm512_srli_epi64(low, 24), _mm512_srli_epi64(high, 24))};
    }
#endif

    static Floats channel(Words pixel, int c) {
        return floats_of((Ints)((pixel >> (8 * c)) & 255u));
    }

    const WarpJob& job_;
    Region region_;
    Buffers buffers_;
    const std::uint8_t* pixels_ = nullptr;
};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
