// Connected regions of equal labels.
#pragma once

#include <cstdint>
#include <vector>

namespace pixelwise {

struct Region {
    std::int64_t area = 0;
    std::int64_t sum_x = 0;
    std::int64_t sum_y = 0;
    std::int32_t x0 = 0;
    std::int32_t y0 = 0;
    std::int32_t x1 = 0;  // half-open
    std::int32_t y1 = 0;
    std::uint16_t label = 0;
};

// Numbers the regions in the raster order of their first pixels; `components` gets the numbers.
// `reach` is 1 if pixels that touch at a corner are neighbours, else 0.
template <class Label>
std::vector<Region> label_regions(const Label* labels, std::int32_t height, std::int32_t width,
                                  int reach, std::int32_t* components);

}  // namespace pixelwise
