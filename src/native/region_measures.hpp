// What the shapes of regions are like, in one pass over a picture of region numbers.
#pragma once

#include <cstdint>

namespace pixelwise {

// For each of `count` regions:
struct RegionSums {
    std::int64_t count;
    const std::int32_t* box;  // [count, 4], x0 and y0 first: moments are about that pixel
    double* moments;          // [count, 3], sums of x², x y and y²
    std::int64_t* steps;      // [count, 3], straight, oblique and mixed steps along its border
    double* total;            // [count], sum of values
};

// Adds to the sums, which are 0 before; false where a number is not below `count`.
bool measure_regions(const std::int32_t* components, std::int32_t height, std::int32_t width,
                     const float* values, const RegionSums& sums);

}  // namespace pixelwise
