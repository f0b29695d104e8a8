// Runs of equal labels are joined by union-find: a picture has far fewer runs than pixels.
#include "regions.hpp"

#include <algorithm>

namespace pixelwise {

namespace {

struct Run {
    std::int32_t first;  // columns first <= x < last
    std::int32_t last;
    std::int32_t parent;  // an earlier run of the same region, or itself
};

std::int32_t root_of(std::vector<Run>& runs, std::int32_t run) {
    while (runs[run].parent != run) {
        runs[run].parent = runs[runs[run].parent].parent;  // halves the path for the next search
        run = runs[run].parent;
    }
    return run;
}

// The earliest run stays the root: its first pixel is the first of the region.
void join(std::vector<Run>& runs, std::int32_t a, std::int32_t b) {
    a = root_of(runs, a);
    b = root_of(runs, b);
    runs[std::max(a, b)].parent = std::min(a, b);
}

template <class Label>
void append_runs(const Label* row, std::int32_t width, std::vector<Run>& runs) {
    for (std::int32_t x = 0; x < width;) {
        std::int32_t end = x + 1;
        while (end < width && row[end] == row[x]) ++end;
        runs.push_back({x, end, static_cast<std::int32_t>(runs.size())});
        x = end;
    }
}

// Joins the runs [middle, end) of a row with the runs [start, middle) of the row above.
template <class Label>
void join_rows(const Label* above, const Label* row, std::int32_t start, std::int32_t middle,
               std::int32_t end, int reach, std::vector<Run>& runs) {
    std::int32_t upper = start;
    for (std::int32_t lower = middle; lower < end; ++lower) {
        const Run here = runs[lower];
        while (upper < middle && runs[upper].last + reach <= here.first) ++upper;
        for (std::int32_t other = upper; other < middle; ++other) {
            if (runs[other].first >= here.last + reach) break;
            if (above[runs[other].first] == row[here.first]) join(runs, other, lower);
        }
    }
}

void add_run(Region& region, const Run& run, std::int32_t y) {
    const std::int64_t length = run.last - run.first;
    region.area += length;
    region.sum_x += (static_cast<std::int64_t>(run.first) + run.last - 1) * length / 2;
    region.sum_y += y * length;
    region.x0 = std::min(region.x0, run.first);
    region.x1 = std::max(region.x1, run.last);
    region.y1 = y + 1;
}

}  // namespace

template <class Label>
std::vector<Region> label_regions(const Label* labels, std::int32_t height, std::int32_t width,
                                  int reach, std::int32_t* components) {
    std::vector<Run> runs;
    std::vector<std::int32_t> row_start{0};
    row_start.reserve(static_cast<std::size_t>(height) + 1);
    for (std::int32_t y = 0; y < height; ++y) {
        const Label* const row = labels + static_cast<std::int64_t>(y) * width;
        append_runs(row, width, runs);
        row_start.push_back(static_cast<std::int32_t>(runs.size()));
        if (y > 0) {
            join_rows(row - width, row, row_start[y - 1], row_start[y], row_start[y + 1], reach,
                      runs);
        }
    }
    std::vector<Region> regions;
    std::vector<std::int32_t> region_of(runs.size());
    for (std::int32_t y = 0; y < height; ++y) {
        const std::int64_t offset = static_cast<std::int64_t>(y) * width;
        for (std::int32_t n = row_start[y]; n < row_start[y + 1]; ++n) {
            const Run& run = runs[n];
            const std::int32_t root = root_of(runs, n);
            if (root == n) {
                region_of[n] = static_cast<std::int32_t>(regions.size());
                Region region;
                region.label = labels[offset + run.first];
                region.x0 = run.first;
                region.y0 = y;
                regions.push_back(region);
            } else {
                region_of[n] = region_of[root];
            }
            add_run(regions[region_of[n]], run, y);
            std::fill(components + offset + run.first, components + offset + run.last,
                      region_of[n]);
        }
    }
    return regions;
}

template std::vector<Region> label_regions(const std::uint8_t*, std::int32_t, std::int32_t, int,
                                           std::int32_t*);
template std::vector<Region> label_regions(const std::uint16_t*, std::int32_t, std::int32_t, int,
                                           std::int32_t*);

}  // namespace pixelwise
