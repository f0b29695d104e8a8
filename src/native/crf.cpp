// The loops of mean field in a fully connected CRF. CMake compiles this file once per instruction
// set, each time into a namespace of its own named by PIXELWISE_VARIANT, and crf_bindings.cpp picks
// the best that the CPU can run.
//
// Nothing in here may call an inline function of the standard library: see simd.hpp.
#include "crf.hpp"

#include <cstring>

#include "carver.hpp"
#include "exponential.hpp"
#include "simd.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

template <int Width>
struct Line {
    float at[Width];
};

template <int Width>
PIXELWISE_INLINE Line<Width> line_at(const float* lines, std::int64_t n) {
    Line<Width> line;
    std::memcpy(line.at, lines + n * Width, sizeof line.at);
    return line;
}

template <int Width>
PIXELWISE_INLINE void put(float* lines, std::int64_t n, const Line<Width>& line) {
    std::memcpy(lines + n * Width, line.at, sizeof line.at);
}

template <int Width>
PIXELWISE_INLINE void add(Line<Width>& sum, const Line<Width>& line, float weight) {
    for (int k = 0; k < Width; ++k) sum.at[k] += weight * line.at[k];
}

template <int Width>
static void gather(const LatticeFilter& filter, const float* values, int first, int last,
                   float* lines) {
    for (int v = first; v < last; ++v) {
        Line<Width> sum{};
        for (std::int64_t i = filter.starts[v]; i < filter.starts[v + 1]; ++i) {
            add(sum, line_at<Width>(values, filter.members[i]), filter.member_weights[i]);
        }
        put(lines, v, sum);
    }
}

template <int Width>
static void blur(const std::int32_t* neighbours, const float* lines, int first, int last,
                 float* out) {
    for (int v = first; v < last; ++v) {
        Line<Width> sum = line_at<Width>(lines, v);
        add(sum, line_at<Width>(lines, neighbours[2 * static_cast<std::int64_t>(v)]), 0.5f);
        add(sum, line_at<Width>(lines, neighbours[2 * static_cast<std::int64_t>(v) + 1]), 0.5f);
        put(out, v, sum);
    }
}

template <int Width>
static void slice(const LatticeFilter& filter, const float* lines, float weight,
                  std::int64_t first, std::int64_t last, float* out) {
    for (std::int64_t n = first; n < last; ++n) {
        Line<Width> sum{};
        for (std::int64_t i = n * filter.corners; i < (n + 1) * filter.corners; ++i) {
            add(sum, line_at<Width>(lines, filter.vertices[i]), weight * filter.weights[i]);
        }
        put(out, n, sum);
    }
}

constexpr int SIDE = 4;  // outputs that share what is loaded

// The sums of SIDE outputs from `begin` on, of which some may lie behind the end: line i, for i in
// 0 <= i < size, counts with taps[i - output] and is at line_of(i).
template <int Width, class LineOf>
PIXELWISE_INLINE void sums_of(const SmoothJob& job, int begin, int size, const LineOf& line_of,
                              Line<Width>* sums) {
    for (int j = 0; j < SIDE; ++j) sums[j] = Line<Width>{};
    const int from = most(begin - job.radius, 0);
    const int to = least(begin + SIDE - 1 + job.radius, size - 1);
    for (int i = from; i <= to; ++i) {
        const Line<Width> line = line_of(i);
        const float* const tap = job.taps + (i - begin);
        for (int j = 0; j < SIDE; ++j) add(sums[j], line, tap[-j]);
    }
}

template <int Width>
static void smooth_across(const SmoothJob& job, int first, int last) {
    for (int y = first; y < last; ++y) {
        const std::int64_t row = static_cast<std::int64_t>(y) * job.image_width;
        const auto line_of = [&](int i) {
            Line<Width> line = line_at<Width>(job.values, row + i);
            for (int k = 0; k < Width; ++k) line.at[k] *= job.factors[row + i];
            return line;
        };
        for (int x = 0; x < job.image_width; x += SIDE) {
            Line<Width> sums[SIDE];
            sums_of<Width>(job, x, job.image_width, line_of, sums);
            const int count = least(SIDE, job.image_width - x);
            for (int j = 0; j < count; ++j) put(job.between, row + x + j, sums[j]);
        }
    }
}

template <int Width>
static void smooth_down(const SmoothJob& job, int first, int last) {
    const std::int64_t width = job.image_width;
    for (int y = first; y < last; y += SIDE) {
        const int count = least(SIDE, last - y);
        for (int x = 0; x < job.image_width; ++x) {
            const auto line_of = [&](int i) { return line_at<Width>(job.between, i * width + x); };
            Line<Width> sums[SIDE];
            sums_of<Width>(job, y, job.height, line_of, sums);
            for (int j = 0; j < count; ++j) {
                const std::int64_t n = (y + j) * width + x;
                Line<Width> out = line_at<Width>(job.out, n);
                add(out, sums[j], job.weight * job.factors[n]);
                put(job.out, n, out);
            }
        }
    }
}

constexpr int TOGETHER = 16;  // pixels whose exponentials are taken in one go

template <int Width>
static void softmax(const SoftmaxJob& job, std::int64_t first, std::int64_t last) {
    float largest[TOGETHER];
    float sums[TOGETHER];
    float terms[TOGETHER * Width];
    for (std::int64_t begin = first; begin < last; begin += TOGETHER) {
        const int count = static_cast<int>(last - begin < TOGETHER ? last - begin : TOGETHER);
        for (int block = 0; block < job.blocks; ++block) {
            const std::int64_t offset = block * job.pixels + begin;
            for (int i = 0; i < count; ++i) {
                Line<Width> line = line_at<Width>(job.unary, offset + i);
                if (job.message) add(line, line_at<Width>(job.message, offset + i), 1.0f);
                put(job.out, offset + i, line);
                float highest = block == 0 ? line.at[0] : largest[i];
                for (int k = 0; k < Width; ++k) {
                    highest = line.at[k] > highest ? line.at[k] : highest;
                }
                largest[i] = highest;
            }
        }
        for (int i = 0; i < count; ++i) sums[i] = 0.0f;
        for (int block = 0; block < job.blocks; ++block) {
            const std::int64_t offset = block * job.pixels + begin;
            for (int i = 0; i < TOGETHER; ++i) {
                for (int k = 0; k < Width; ++k) {
                    terms[i * Width + k] =
                        i < count ? job.out[(offset + i) * Width + k] - largest[i] : 0.0f;
                }
            }
            for (int k = 0; k < TOGETHER * Width; k += LANES) {
                store(terms + k, exponential(load(terms + k)));
            }
            for (int i = 0; i < count; ++i) {
                for (int k = 0; k < Width; ++k) sums[i] += terms[i * Width + k];
                std::memcpy(job.out + (offset + i) * Width, terms + i * Width,
                            sizeof(float) * Width);
            }
        }
        for (int i = 0; i < count; ++i) {
            const bool kept = !job.keep || job.keep[begin + i];
            const float factor = kept ? 1.0f / sums[i] : 0.0f;
            for (int block = 0; block < job.blocks; ++block) {
                float* const line = job.out + (block * job.pixels + begin + i) * Width;
                for (int k = 0; k < Width; ++k) line[k] *= factor;
            }
        }
    }
}

#define PIXELWISE_CRF(Width)                                                                   \
    {gather<Width>, blur<Width>, slice<Width>, smooth_across<Width>, smooth_down<Width>, \
     softmax<Width>}
const CrfVariants crf_kernels = {{PIXELWISE_CRF(4), PIXELWISE_CRF(8), PIXELWISE_CRF(16)}};
#undef PIXELWISE_CRF

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
