// A photo and its mask through a 3x3 matrix, with the colours changed and normalised in the same
// pass. CMake compiles this file once per instruction set, as decode.cpp.
//
// Nothing in here may call an inline function of the standard library: see simd.hpp.
// Products and sums must not be fused (-ffp-contract=off), so that all variants give the same bits.
#include "warp.hpp"
#include "warp_blur.hpp"
#include "warp_colour.hpp"
#include "warp_general.hpp"
#include "warp_place.hpp"
#include "warp_raster.hpp"
#include "warp_straight.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// Calls body(y, line, stride) with the sampled colours of each output row, [3, stride].
template <class Body>
static void each_row(const WarpJob& job, Carver& carver, Body body) {
    const int stride = padded(job.place.out_width);
    float* const line = carver.take<float>(3 * static_cast<std::size_t>(stride));
    if (job.place.straight) {
        StraightSampler sampler(job, carver);
        for (int y = 0; y < job.place.out_height; ++y) {
            sampler.row(y, line, stride);
            body(y, line, stride);
        }
    } else {
        GeneralSampler sampler(job, carver);
        for (int y = 0; y < job.place.out_height; ++y) {
            sampler.row(y, line, stride);
            body(y, line, stride);
        }
    }
}

static void to_floats(const WarpJob& job, char* workspace, float* out) {
    Carver carver{workspace, 0};
    const std::size_t columns = static_cast<std::size_t>(job.place.out_width);
    const std::size_t plane = columns * job.place.out_height;
    each_row(job, carver, [&](int y, const float* line, int stride) {
        normalised_row(job, line, stride, out + y * columns, plane);
    });
}

static void to_bytes(const WarpJob& job, char* workspace, std::uint8_t* out) {
    Carver carver{workspace, 0};
    const std::size_t columns = static_cast<std::size_t>(job.place.out_width);
    std::int32_t* const whole = carver.take<std::int32_t>(3 * padded(job.place.out_width));
    each_row(job, carver, [&](int y, const float* line, int stride) {
        byte_row(job, line, stride, whole, out + y * columns * 3);
    });
}

static std::size_t image_bytes(const WarpJob& job) {
    Carver carver{nullptr, 0};
    carver.take<std::int32_t>(3 * static_cast<std::size_t>(padded(job.place.out_width)));
    carver.take<float>(3 * static_cast<std::size_t>(padded(job.place.out_width)));
    if (job.place.straight) {
        StraightSampler::take(job, carver);
    } else {
        GeneralSampler::take(job, carver);
    }
    return carver.used;
}

static std::size_t ids_bytes(const WarpPlace& place) {
    Carver carver{nullptr, 0};
    Nearest::take(place, carver);
    return carver.used;
}

template <class Id>
static void ids(const WarpPlace& place, const Id* from, Id fill, char* workspace, Id* out) {
    Carver carver{workspace, 0};
    Nearest nearest(place, carver);
    for (int y = 0; y < place.out_height; ++y, out += place.out_width) {
        nearest.row(y, from, fill, out);
    }
}

const WarpKernels warp_kernels = {
    image_bytes,
    to_floats,
    to_bytes,
    ids_bytes,
    ids<std::uint8_t>,
    ids<std::uint16_t>,
    ids<std::int32_t>,
    raster_bytes,
    raster<std::uint8_t>,
    raster<std::uint16_t>,
    raster<float>,
    blur_bytes,
    blur,
};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
