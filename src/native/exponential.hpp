// The exponential function of a register of floats.
#pragma once

#include "simd.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// e^x for x <= 0 with a relative error below 2e-7; 0 below -87 and for NaN. x = n ln 2 + r with
// |r| <= ln 2 / 2: 2^n goes into the exponent bits, e^r is 1 + r + r^2 q(r) with the cubic q that
// keeps the largest relative error smallest (1.1e-7, found by reweighted least squares).
PIXELWISE_INLINE Floats exponential(Floats x) {
    // Adding 1.5 * 2^23 leaves no bits for a fraction, and n in the lowest bits.
    const Floats shifted = x * 1.44269504f + 12582912.0f;
    const Floats n = shifted - 12582912.0f;
    // ln 2 in two parts: the product of n and the first is exact.
    const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Floats power = r * 0.00831250101f + 0.0418903306f;
    power = power * r + 0.166671157f;
    power = power * r + 0.499992311f;
    power = power * r + 1.0f;
    power = power * r + 1.0f;
    const Floats value = from_bits(bits(power) + (bits(shifted) << 23));
    return x > spread(-87.0f) ? value : Floats{};
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
