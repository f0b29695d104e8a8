// Bilinear samples of rasters of any bands, in the arithmetic of warp_straight.hpp.
#pragma once

#include "carver.hpp"
#include "warp_place.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

struct RasterBuffers {
    double* u;
    double* v;
    float* line;  // [columns, bands]
};

static RasterBuffers take_raster_buffers(Carver& carver, const RasterJob& job) {
    const std::size_t columns = static_cast<std::size_t>(job.place.out_width);
    return {carver.take<double>(columns), carver.take<double>(columns),
            carver.take<float>(columns * job.bands)};
}

static std::size_t raster_bytes(const RasterJob& job) {
    Carver carver{nullptr, 0};
    take_raster_buffers(carver, job);
    return carver.used;
}

template <class Value>
static void raster_pixel(const RasterJob& job, const Value* values, double u, double v,
                         float* __restrict out) {
    const Tap across = tap_at(u, job.reduce_x, job.columns - 1);
    const Tap down = tap_at(v, job.reduce_y, job.rows - 1);
    const std::size_t bands = static_cast<std::size_t>(job.bands);
    const std::size_t right = across.low < job.columns - 1 ? bands : 0;
    const std::size_t below = down.low < job.rows - 1 ? bands * job.columns : 0;
    const Value* __restrict from =
        values + (static_cast<std::size_t>(down.low) * job.columns + across.low) * bands;
    const float left_weight = 1.0f - across.weight;
    const float upper_weight = 1.0f - down.weight;
    for (std::size_t b = 0; b < bands; ++b) {
        const float left = static_cast<float>(from[b]) * upper_weight +
                           static_cast<float>(from[b + below]) * down.weight;
        const float high = static_cast<float>(from[b + right]) * upper_weight +
                           static_cast<float>(from[b + right + below]) * down.weight;
        out[b] = left * left_weight + high * across.weight;
    }
}

template <class Value>
static void raster(const RasterJob& job, const Value* values, char* workspace, float* out) {
    Carver carver{workspace, 0};
    const RasterBuffers buffers = take_raster_buffers(carver, job);
    const std::size_t columns = static_cast<std::size_t>(job.place.out_width);
    const std::size_t plane = columns * job.place.out_height;
    const std::size_t bands = static_cast<std::size_t>(job.bands);
    for (int y = 0; y < job.place.out_height; ++y, out += columns) {
        project(job.place, y, buffers.u, buffers.v);
        for (std::size_t x = 0; x < columns; ++x) {
            float* const to = buffers.line + x * bands;
            if (buffers.u[x] >= 0.0) {
                raster_pixel(job, values, buffers.u[x], buffers.v[x], to);
            } else {
                for (std::size_t b = 0; b < bands; ++b) to[b] = job.fill[b];
            }
        }
        for (std::size_t b = 0; b < bands; ++b) {
            const float* __restrict from = buffers.line + b;
            float* __restrict to = out + b * plane;
            for (std::size_t x = 0; x < columns; ++x) {
                to[x] = from[x * bands] * job.scale[b] + job.shift[b];
            }
        }
    }
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
