// From sampled colours to the output: colour matrix, tone, normalisation.
#pragma once

#include "carver.hpp"
#include "warp.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// 255 (x / 255)^gamma for 0 <= x <= 255, 0 at 0; its relative error is below 5e-6 for exponents up
// to 8. The logarithm of the mantissa m in [2/3, 4/3) is the series of
// 2 artanh((m - 1) / (m + 1)); the fraction of the exponent goes through the Taylor series of 2^r,
// |r| <= 1/2.
PIXELWISE_INLINE Floats tone(Floats x, float gamma) {
    const Floats share = x * (1.0f / 255.0f);
    // From 2/3 = 0x3f2aaaab on, 23 bits of mantissa: the exponent is that of the nearest power.
    const Words above = bits(share) - 0x3f2aaaabu;
    const Ints exponent = (Ints)above >> 23;
    const Floats m = from_bits(bits(share) - ((Words)exponent << 23));
    const Floats s = (m - 1.0f) / (m + 1.0f);
    const Floats q = s * s;
    Floats series = q * 0.412198583f + 0.577078016f;
    series = series * q + 0.961796694f;
    series = series * q + 2.88539008f;
    const Floats power = (floats_of(exponent) + s * series) * gamma;
    const Floats reach = larger(power, spread(-126.0f));
    const Floats shifted = reach + 12582912.0f;
    const Floats r = reach - (shifted - 12582912.0f);
    Floats value = r * 1.54035304e-4f + 1.33335581e-3f;
    value = value * r + 9.61812911e-3f;
    value = value * r + 0.0555041087f;
    value = value * r + 0.240226507f;
    value = value * r + 0.693147181f;
    value = value * r + 1.0f;
    value = from_bits(bits(value) + (bits(shifted) << 23)) * 255.0f;
    return x > Floats{} ? value : Floats{};
}

struct Colours {
    Floats red, green, blue;
};

PIXELWISE_INLINE Floats mixed(const float* weights, const Colours& from) {
    const Floats sum =
        ((from.red * weights[0] + from.green * weights[1]) + from.blue * weights[2]) + weights[3];
    return smaller(larger(sum, Floats{}), spread(255.0f));
}

template <bool Toned>
PIXELWISE_INLINE Colours coloured(const WarpJob& job, const float* line, int stride) {
    const Colours from{load(line), load(line + stride), load(line + 2 * stride)};
    Colours to{mixed(job.colour, from), mixed(job.colour + 4, from), mixed(job.colour + 8, from)};
    if (Toned) {
        to = {tone(to.red, job.gamma), tone(to.green, job.gamma), tone(to.blue, job.gamma)};
    }
    return to;
}

PIXELWISE_INLINE void store_upto(float* to, Floats value, int count) {
    if (count >= LANES) {
        store(to, value);
        return;
    }
    float lanes[LANES];
    store(lanes, value);
    for (int i = 0; i < count; ++i) to[i] = lanes[i];
}

template <bool Toned>
static void normalised_row_of(const WarpJob& job, const float* line, int stride, float* out,
                              std::size_t plane) {
    for (int x = 0; x < job.place.out_width; x += LANES, line += LANES, out += LANES) {
        const int count = job.place.out_width - x;
        const Colours to = coloured<Toned>(job, line, stride);
        store_upto(out, to.red * job.scale[0] + job.shift[0], count);
        store_upto(out + plane, to.green * job.scale[1] + job.shift[1], count);
        store_upto(out + 2 * plane, to.blue * job.scale[2] + job.shift[2], count);
    }
}

// One row of the three output planes, `plane` values apart, from sampled colours [3, stride].
static void normalised_row(const WarpJob& job, const float* line, int stride, float* out,
                           std::size_t plane) {
    if (job.gamma == 1.0f) {
        normalised_row_of<false>(job, line, stride, out, plane);
    } else {
        normalised_row_of<true>(job, line, stride, out, plane);
    }
}

template <bool Toned>
static void whole_row_of(const WarpJob& job, const float* line, int stride, std::int32_t* whole) {
    for (int x = 0; x < job.place.out_width; x += LANES, line += LANES, whole += LANES) {
        const Colours to = coloured<Toned>(job, line, stride);
        store(whole, ints_of(to.red + 0.5f));
        store(whole + stride, ints_of(to.green + 0.5f));
        store(whole + 2 * stride, ints_of(to.blue + 0.5f));
    }
}

// The same row rounded to bytes [columns, 3]; `whole` is scratch [3, stride].
static void byte_row(const WarpJob& job, const float* line, int stride, std::int32_t* whole,
                     std::uint8_t* __restrict out) {
    if (job.gamma == 1.0f) {
        whole_row_of<false>(job, line, stride, whole);
    } else {
        whole_row_of<true>(job, line, stride, whole);
    }
    for (int x = 0; x < job.place.out_width; ++x) {
        for (int c = 0; c < 3; ++c) {
            out[3 * x + c] = static_cast<std::uint8_t>(whole[c * stride + x]);
        }
    }
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
