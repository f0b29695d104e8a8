#include "region_measures.hpp"

#include <algorithm>
#include <vector>

namespace pixelwise {

namespace {

constexpr int NO_STEP = 3;

// What a border pixel adds to the perimeter: 0 a straight step, 1 an oblique one, 2 half of each;
// by the number of border pixels of its region among its neighbours at sides and at corners.
// The numbers that the paper (kernels/region_measures.py) sums are 1 + 2 × sides + 10 × corners.
constexpr int STEP_OF[5][5] = {
    {NO_STEP, NO_STEP, 1, NO_STEP, NO_STEP},
    {NO_STEP, 2, 2, 1, NO_STEP},
    {0, 0, 0, NO_STEP, NO_STEP},
    {0, 0, 0, NO_STEP, NO_STEP},
    {NO_STEP, NO_STEP, NO_STEP, NO_STEP, NO_STEP},
};

// Region numbers at borders and -1 elsewhere, with a margin of one pixel.
void mark_borders(const std::int32_t* components, std::int32_t y, std::int32_t height,
                  std::int32_t width, std::int32_t* out) {
    const std::int32_t* const row = components + static_cast<std::int64_t>(y) * width;
    out[0] = out[width + 1] = -1;
    if (y == 0 || y == height - 1) {
        std::copy(row, row + width, out + 1);
        return;
    }
    const std::int32_t* const above = row - width;
    const std::int32_t* const below = row + width;
    out[1] = row[0];
    out[width] = row[width - 1];
    for (std::int32_t x = 1; x + 1 < width; ++x) {
        const std::int32_t here = row[x];
        const bool is_inside = (here == row[x - 1]) & (here == row[x + 1]) & (here == above[x]) &
                               (here == below[x]);
        out[x + 1] = is_inside ? -1 : here;
    }
}

void add_run(const RegionSums& sums, std::int32_t region, std::int32_t first, std::int32_t end,
             std::int32_t y) {
    const double length = end - first;
    const double middle = (first + (end - 1.0)) / 2 - sums.box[4 * region];
    const double down = y - sums.box[4 * region + 1];
    double* const moments = sums.moments + 3 * region;
    moments[0] += length * middle * middle + length * (length * length - 1) / 12;
    moments[1] += length * middle * down;
    moments[2] += length * down * down;
}

}  // namespace

bool measure_regions(const std::int32_t* components, std::int32_t height, std::int32_t width,
                     const float* values, const RegionSums& sums) {
    const std::size_t stride = static_cast<std::size_t>(width) + 2;
    std::vector<std::int32_t> rows(3 * stride, -1);
    std::int32_t* above = rows.data();
    std::int32_t* here = above + stride;
    std::int32_t* below = here + stride;
    mark_borders(components, 0, height, width, below);
    for (std::int32_t y = 0; y < height; ++y) {
        std::int32_t* const spare = above;
        above = here;
        here = below;
        below = spare;
        if (y + 1 < height) {
            mark_borders(components, y + 1, height, width, below);
        } else {
            std::fill(below, below + stride, -1);
        }
        const std::int64_t offset = static_cast<std::int64_t>(y) * width;
        const std::int32_t* const row = components + offset;
        for (std::int32_t x = 0; x < width;) {
            const std::int32_t region = row[x];
            if (region < 0 || region >= sums.count) return false;
            const std::int32_t first = x;
            double total = sums.total[region];
            for (; x < width && row[x] == region; ++x) {
                total += values[offset + x];
                if (here[x + 1] != region) continue;
                const auto same = [&](const std::int32_t* line, std::int32_t column) {
                    return static_cast<int>(line[column] == region);
                };
                const int sides = same(above, x + 1) + same(here, x) + same(here, x + 2) +
                                  same(below, x + 1);
                const int corners = same(above, x) + same(above, x + 2) + same(below, x) +
                                    same(below, x + 2);
                const int step = STEP_OF[sides][corners];
                if (step != NO_STEP) ++sums.steps[3 * region + step];
            }
            sums.total[region] = total;
            add_run(sums, region, first, x, y);
        }
    }
    return true;
}

}  // namespace pixelwise
