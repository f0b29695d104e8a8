// The guided filter: values follow the edges of a picture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pixelwise {

constexpr std::size_t MOST_GUIDE_BANDS = 16;

struct GuidedJob {
    std::int32_t height;
    std::int32_t width;
    std::int32_t bands;
    std::int32_t radius;
    double smoothing;
    const float* guide;        // [height, width, bands]
    const std::uint8_t* keep;  // [height, width]
};

// What the window around each pixel says of the guide: [height, width, bands + bands^2 + 1], the
// means, the inverse of the covariance with the smoothing on its diagonal, and 1 / count.
std::vector<double> guide_windows(const GuidedJob& job);

// One class: `values` and `out` are [height, width].
void filter_by_guide(const GuidedJob& job, const std::vector<double>& windows, const float* values,
                     float* out);

}  // namespace pixelwise
