// The Python side of mean field and of the guided filter; see module.cpp on what is checked where.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "crf.hpp"
#include "guided.hpp"
#include "lattice.hpp"
#include "parallel.hpp"

namespace pixelwise {
namespace {

constexpr float NOT_A_CLASS = -1e30f;
constexpr std::size_t MOST_PIXELS = std::size_t{1} << 28;

const CrfVariants& crf_named(std::string_view variant) {
    require(variant.empty() || can_run(variant), "this CPU cannot run the variant");
#if defined(PIXELWISE_X86_VARIANTS)
    const auto wanted = [&](std::string_view name) {
        return variant == name || (variant.empty() && can_run(name));
    };
    if (wanted("avx512")) return avx512::crf_kernels;
    if (wanted("avx2")) return avx2::crf_kernels;
#endif
    return baseline::crf_kernels;
}

using Buffer = std::vector<float>;
// Floats that are not cleared, which for the large ones would cost as much as an iteration.
using Scratch = std::unique_ptr<float[]>;

struct Shape {
    std::int64_t classes;
    int height;
    int width;
    std::int64_t pixels;
    int line;    // floats of a line
    int blocks;  // of classes
    int threads;
};

Shape shape_of(std::size_t classes, std::size_t height, std::size_t width, int threads) {
    Shape shape{};
    shape.classes = static_cast<std::int64_t>(classes);
    shape.height = static_cast<int>(height);
    shape.width = static_cast<int>(width);
    shape.pixels = static_cast<std::int64_t>(height) * static_cast<std::int64_t>(width);
    shape.line = classes <= 4 ? 4 : classes <= 8 ? 8 : 16;
    shape.blocks = static_cast<int>((shape.classes + shape.line - 1) / shape.line);
    shape.threads = useful_threads(threads, shape.pixels * shape.line);
    return shape;
}

const CrfKernels& of_line(const CrfVariants& variants, int line) {
    return variants.by_width[line == 4 ? 0 : line == 8 ? 1 : 2];
}

template <class Task>
void over_pixels(const Shape& shape, Task task) {
    in_bands(shape.height, shape.threads, [&](int, int first, int last) {
        task(std::int64_t{first} * shape.width, std::int64_t{last} * shape.width);
    });
}

constexpr std::int64_t STRETCH = 128;  // pixels whose lines stay in the cache

template <class Task>
void over_stretches(const Shape& shape, Task task) {
    over_pixels(shape, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t n = first; n < last; n += STRETCH) {
            task(n, std::min(n + STRETCH, last));
        }
    });
}

// [classes, pixels] -> [blocks, pixels, line]; lines are filled up with what is no class.
void to_lines(const Shape& shape, const float* planes, float* lines) {
    over_stretches(shape, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t c = 0; c < std::int64_t{shape.blocks} * shape.line; ++c) {
            float* const to = lines + (c / shape.line) * shape.pixels * shape.line + c % shape.line;
            for (std::int64_t n = first; n < last; ++n) {
                to[n * shape.line] =
                    c < shape.classes ? planes[c * shape.pixels + n] : NOT_A_CLASS;
            }
        }
    });
}

void to_planes(const Shape& shape, const float* lines, float* planes) {
    over_stretches(shape, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t c = 0; c < shape.classes; ++c) {
            const float* const from =
                lines + (c / shape.line) * shape.pixels * shape.line + c % shape.line;
            for (std::int64_t n = first; n < last; ++n) {
                planes[c * shape.pixels + n] = from[n * shape.line];
            }
        }
    });
}

// Kernel times values, for one block; the Gaussian over position and colour.
class ByColour {
   public:
    ByColour(Lattice lattice, int line)
        : lattice_(std::move(lattice)),
          lines_(static_cast<std::size_t>(lattice_.count + 1) * line, 0.0f),
          blurred_(lines_) {}

    Lattice& lattice() { return lattice_; }

    void run(const CrfKernels& kernels, const Shape& shape, const float* values, float weight,
             float* out) {
        LatticeFilter filter{};
        filter.count = lattice_.count;
        filter.corners = lattice_.dimensions + 1;
        filter.vertices = lattice_.vertices.data();
        filter.weights = lattice_.weights.data();
        filter.starts = lattice_.starts.data();
        filter.members = lattice_.members.data();
        filter.member_weights = lattice_.member_weights.data();
        in_bands(filter.count, shape.threads, [&](int, int first, int last) {
            kernels.gather(filter, values, first, last, lines_.data());
        });
        for (int axis = 0; axis < filter.corners; ++axis) {
            const std::int32_t* const neighbours =
                lattice_.neighbours.data() + 2 * static_cast<std::size_t>(axis) * filter.count;
            in_bands(filter.count, shape.threads, [&](int, int first, int last) {
                kernels.blur(neighbours, lines_.data(), first, last, blurred_.data());
            });
            lines_.swap(blurred_);
        }
        over_pixels(shape, [&](std::int64_t first, std::int64_t last) {
            kernels.slice(filter, lines_.data(), weight, first, last, out);
        });
    }

   private:
    Lattice lattice_;
    Buffer lines_;
    Buffer blurred_;
};

// 1 / sqrt of what the kernel gives for ones, 0 where nothing counts.
Buffer factors_of(const Buffer& sums, int line, const std::uint8_t* keep) {
    Buffer factors(sums.size() / static_cast<std::size_t>(line));
    for (std::size_t n = 0; n < factors.size(); ++n) {
        const float sum = sums[n * static_cast<std::size_t>(line)];
        factors[n] = keep[n] && sum > 0.0f ? 1.0f / std::sqrt(sum) : 0.0f;
    }
    return factors;
}

Buffer ones_of(const std::uint8_t* keep, std::int64_t pixels, int line) {
    Buffer ones(static_cast<std::size_t>(pixels * line));
    for (std::int64_t i = 0; i < pixels * line; ++i) ones[i] = keep[i / line] ? 1.0f : 0.0f;
    return ones;
}

// Taps from the centre outwards, on both sides of the middle, with zeros around.
Buffer mirrored(const float* taps, int radius) {
    Buffer out(2 * static_cast<std::size_t>(radius + SMOOTH_MARGIN) + 1, 0.0f);
    for (int step = -radius; step <= radius; ++step) {
        out[static_cast<std::size_t>(step + radius + SMOOTH_MARGIN)] = taps[std::abs(step)];
    }
    return out;
}

void smooth(const CrfKernels& kernels, const SmoothJob& job, const Shape& shape) {
    in_bands(shape.height, shape.threads,
             [&](int, int first, int last) { kernels.smooth_across(job, first, last); });
    in_bands(shape.height, shape.threads,
             [&](int, int first, int last) { kernels.smooth_down(job, first, last); });
}

void mean_field(const Input<float, 3>& unary, const Input<float, 2>& features,
                const Input<float, 1>& taps, float colour_weight, float smooth_weight,
                int iterations, const Input<std::uint8_t, 1>& keep, const Output<float, 3>& out,
                int threads, const char* variant) {
    const std::size_t pixels = unary.shape(1) * unary.shape(2);
    require(unary.size() > 0 && pixels < MOST_PIXELS && unary.shape(0) <= 65535,
            "scores of no class or pixel, or too many");
    require(features.shape(0) == pixels && keep.shape(0) == pixels &&
                out.shape(0) == unary.shape(0) && out.shape(1) == unary.shape(1) &&
                out.shape(2) == unary.shape(2),
            "arrays of different sizes");
    require(features.shape(1) >= 1 && features.shape(1) <= MOST_DIMENSIONS,
            "features of too many dimensions");
    require(taps.shape(0) >= 1 && taps.shape(0) < (1 << 16), "taps from the centre on");
    require(iterations >= 0, "iterations from 0 on");
    const Shape shape = shape_of(unary.shape(0), unary.shape(1), unary.shape(2), threads);
    const CrfVariants& variants = crf_named(variant);
    const CrfKernels& kernels = of_line(variants, shape.line);
    const CrfKernels& narrow = variants.by_width[0];
    nb::gil_scoped_release release;
    const std::size_t block = static_cast<std::size_t>(shape.pixels * shape.line);
    const std::size_t floats = block * static_cast<std::size_t>(shape.blocks);
    const Scratch scores(new float[floats]), found(new float[floats]);
    to_lines(shape, unary.data(), scores.get());
    const bool refines = iterations > 0 && (colour_weight > 0 || smooth_weight > 0);
    // What does not count has no part in the sums, but an answer: its scores speak for themselves.
    SoftmaxJob softmax{shape.pixels, shape.blocks, scores.get(), nullptr,
                       refines ? keep.data() : nullptr, found.get()};
    const auto normalise = [&] {
        over_pixels(shape, [&](std::int64_t first, std::int64_t last) {
            kernels.softmax(softmax, first, last);
        });
    };
    normalise();
    if (refines) {
        const Scratch message(new float[floats]), between(new float[block]);
        const Buffer ones = ones_of(keep.data(), shape.pixels, 4);
        Buffer sums(ones.size(), 0.0f);
        ByColour by_colour(colour_weight > 0
                               ? make_lattice(features.data(), shape.pixels,
                                              static_cast<int>(features.shape(1)), shape.threads)
                               : Lattice{},
                           16);
        if (colour_weight > 0) {
            Lattice& lattice = by_colour.lattice();
            by_colour.run(narrow, shape, ones.data(), 1.0f, sums.data());
            scale_pixels(lattice, factors_of(sums, 4, keep.data()).data());
        }
        SmoothJob job{};
        job.height = shape.height;
        job.image_width = shape.width;
        job.radius = static_cast<std::int32_t>(taps.shape(0)) - 1;
        const Buffer both_ways = mirrored(taps.data(), job.radius);
        job.taps = both_ways.data() + job.radius + SMOOTH_MARGIN;
        job.between = between.get();
        Buffer smooth_factors;
        if (smooth_weight > 0) {
            const Buffer all(pixels, 1.0f);
            std::fill(sums.begin(), sums.end(), 0.0f);
            job.factors = all.data();
            job.values = ones.data();
            job.out = sums.data();
            job.weight = 1.0f;
            smooth(narrow, job, shape);
            smooth_factors = factors_of(sums, 4, keep.data());
        }
        job.factors = smooth_factors.data();
        job.weight = smooth_weight;
        softmax.message = message.get();
        for (int iteration = 0; iteration < iterations; ++iteration) {
            for (int b = 0; b < shape.blocks; ++b) {
                const float* const values = found.get() + block * b;
                float* const to = message.get() + block * b;
                if (colour_weight > 0) {
                    by_colour.run(kernels, shape, values, colour_weight, to);
                } else {
                    std::fill(to, to + block, 0.0f);
                }
                if (smooth_weight > 0) {
                    job.values = values;
                    job.out = to;
                    smooth(kernels, job, shape);
                }
            }
            if (iteration + 1 == iterations) softmax.keep = nullptr;
            normalise();
        }
    }
    to_planes(shape, found.get(), out.data());
}

void guided_filter_of(const Input<float, 3>& values, const Input<float, 3>& guide,
                      const Input<std::uint8_t, 2>& keep, int radius, double smoothing,
                      const Output<float, 3>& out, int threads) {
    require(values.size() > 0 && values.shape(1) == guide.shape(0) &&
                values.shape(2) == guide.shape(1) && keep.shape(0) == guide.shape(0) &&
                keep.shape(1) == guide.shape(1) && out.shape(0) == values.shape(0) &&
                out.shape(1) == values.shape(1) && out.shape(2) == values.shape(2),
            "arrays of different sizes");
    require(values.shape(0) <= 65535 && guide.shape(2) >= 1 && guide.shape(2) <= MOST_GUIDE_BANDS,
            "too many classes or bands");
    require(radius >= 0 && smoothing > 0, "a radius from 0 on, and a smoothing above 0");
    GuidedJob job{};
    job.height = static_cast<std::int32_t>(values.shape(1));
    job.width = static_cast<std::int32_t>(values.shape(2));
    job.bands = static_cast<std::int32_t>(guide.shape(2));
    job.radius = radius;
    job.smoothing = smoothing;
    job.guide = guide.data();
    job.keep = keep.data();
    const int classes = static_cast<int>(values.shape(0));
    const std::int64_t plane = static_cast<std::int64_t>(job.height) * job.width;
    nb::gil_scoped_release release;
    const std::vector<double> windows = guide_windows(job);
    const int workers = useful_threads(threads, plane * classes);
    in_bands(classes, std::min(workers, classes), [&](int, int first, int last) {
        for (int c = first; c < last; ++c) {
            filter_by_guide(job, windows, values.data() + c * plane, out.data() + c * plane);
        }
    });
}

}  // namespace

void add_crf(nb::module_& module) {
    using namespace nb::literals;
    module.def("guided_filter", &guided_filter_of, "values"_a.noconvert(), "guide"_a.noconvert(),
               "keep"_a.noconvert(), "radius"_a, "smoothing"_a, "out"_a.noconvert(), "threads"_a);
    module.def("mean_field", &mean_field, "unary"_a.noconvert(), "features"_a.noconvert(),
               "taps"_a.noconvert(), "colour_weight"_a, "smooth_weight"_a, "iterations"_a,
               "keep"_a.noconvert(), "out"_a.noconvert(), "threads"_a, "variant"_a = "");
}

}  // namespace pixelwise
