// Blurring of float planes, by symmetric weights along columns and then along rows.
#pragma once

#include "carver.hpp"
#include "warp.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

static std::size_t blur_bytes(const BlurJob& job) {
    Carver carver{nullptr, 0};
    carver.take<float>(static_cast<std::size_t>(job.width) + 2 * job.radius);
    return carver.used;
}

// value = x_0 w_0 + (x_-1 + x_1) w_1 + ..., in this order; the edges are repeated outwards.
static void blur_plane(const BlurJob& job, const float* from, float* line, float* out) {
    const std::size_t width = static_cast<std::size_t>(job.width);
    const int radius = job.radius;
    float* __restrict middle = line + radius;
    for (int y = 0; y < job.height; ++y, out += width) {
        const float* __restrict row = from + y * width;
        for (std::size_t x = 0; x < width; ++x) middle[x] = row[x] * job.weights[0];
        for (int k = 1; k <= radius; ++k) {
            const float* __restrict above = from + most(y - k, 0) * width;
            const float* __restrict below = from + least(y + k, job.height - 1) * width;
            const float weight = job.weights[k];
            for (std::size_t x = 0; x < width; ++x) middle[x] += (above[x] + below[x]) * weight;
        }
        for (int x = 0; x < radius; ++x) {
            line[x] = middle[0];
            middle[job.width + x] = middle[job.width - 1];
        }
        float* __restrict to = out;
        for (std::size_t x = 0; x < width; ++x) to[x] = middle[x] * job.weights[0];
        for (int k = 1; k <= radius; ++k) {
            const float* __restrict left = middle - k;
            const float* __restrict right = middle + k;
            const float weight = job.weights[k];
            for (std::size_t x = 0; x < width; ++x) to[x] += (left[x] + right[x]) * weight;
        }
    }
}

static void blur(const BlurJob& job, char* workspace, float* out) {
    Carver carver{workspace, 0};
    float* const line =
        carver.take<float>(static_cast<std::size_t>(job.width) + 2 * job.radius);
    const std::size_t plane = static_cast<std::size_t>(job.width) * job.height;
    for (int band = 0; band < job.bands; ++band) {
        blur_plane(job, job.planes + band * plane, line, out + band * plane);
    }
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
