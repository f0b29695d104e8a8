// The loops of the metrics: pairs of truth and prediction, bands along the borders of classes, and
// distances between contours. CMake compiles this file once per instruction set, each time into a
// namespace of its own named by PIXELWISE_VARIANT, and metric_bindings.cpp picks the best that the
// CPU can run.
//
// Nothing in here may call an inline function of the standard library: see simd.hpp.
#include "metrics.hpp"

#include <cmath>

#include "carver.hpp"
#include "id_runs.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

// ---- Pairs --------------------------------------------------------------------------------

template <class Truth, class Found>
static bool count_pairs(const PairJob& job, std::int64_t first, std::int64_t last,
                        std::int64_t* counts) {
    const Truth* const truth = static_cast<const Truth*>(job.truth);
    const Found* const found = static_cast<const Found*>(job.prediction);
    const std::uint64_t classes = static_cast<std::uint64_t>(job.classes);
    bool outside = false;
    each_run(
        first, last, [&](std::int64_t i) { return changes(truth + i) | changes(found + i); },
        [&](std::int64_t i) { return truth[i] != truth[i + 1] || found[i] != found[i + 1]; },
        [&](std::int64_t start, std::int64_t end) {
            const std::int64_t id = truth[start];
            if (job.ignores && id == job.ignore_index) return;
            // Negative ids are above every class.
            const std::uint64_t row = static_cast<std::uint64_t>(id);
            const std::uint64_t column =
                static_cast<std::uint64_t>(static_cast<std::int64_t>(found[start]));
            if (row >= classes || column >= classes) {
                outside = true;
                return;
            }
            counts[row * classes + column] += end - start;
        });
    return outside;
}

// ---- Bands along borders ------------------------------------------------------------------

// A pixel is further than `distance` from every border if the square of 2 * distance + 1 pixels
// around it has one label: if in each row of the square the pixels are of one run, and the middle
// column does not change. `across` says so of the row, and `down` counts such rows in a row.
struct BorderBuffers {
    std::uint32_t* across;  // [width], all bits or none
    std::uint32_t* down;    // [width]
};

static BorderBuffers take_border_buffers(Carver& carver, const BorderJob& job) {
    BorderBuffers buffers{};
    buffers.across = carver.take<std::uint32_t>(job.width);
    buffers.down = carver.take<std::uint32_t>(job.width);
    return buffers;
}

static std::size_t border_bytes(const BorderJob& job) {
    Carver carver{nullptr, 0};
    take_border_buffers(carver, job);
    return carver.used;
}

template <class Label>
static void mark_across(const Label* row, int width, int distance, std::uint32_t* across) {
    std::memset(across, 0, sizeof *across * static_cast<std::size_t>(width));
    each_run(
        0, width, [&](std::int64_t i) { return changes(row + i); },
        [&](std::int64_t i) { return row[i] != row[i + 1]; },
        [&](std::int64_t start, std::int64_t end) {
            const std::int64_t inside = end - start - 2 * std::int64_t{distance};
            if (inside <= 0) return;
            std::memset(across + start + distance, 0xFF,
                        sizeof *across * static_cast<std::size_t>(inside));
        });
}

template <class Label>
static void near_borders(const BorderJob& job, char* workspace) {
    const Label* const labels = static_cast<const Label*>(job.labels);
    Label* const out = static_cast<Label*>(job.out);
    const std::size_t width = static_cast<std::size_t>(job.width);
    const int height = job.height;
    const int distance = job.distance;
    const std::size_t pixels = static_cast<std::size_t>(height) * width;
    const Label fill = static_cast<Label>(job.fill);
    const std::uint32_t span = static_cast<std::uint32_t>(2 * distance + 1);
    Carver carver{workspace, 0};
    const BorderBuffers buffers = take_border_buffers(carver, job);
    std::uint32_t* const across = buffers.across;
    std::uint32_t* const down = buffers.down;
    std::memset(down, 0, sizeof *down * width);
    for (int y = 0; y < height; ++y) {
        const Label* const row = labels + static_cast<std::size_t>(y) * width;
        const Label* const above = y ? row - width : row;
        mark_across(row, job.width, distance, across);
        for (std::size_t x = 0; x < width; ++x) {
            const std::uint32_t before = row[x] == above[x] ? down[x] : std::uint32_t{0};
            down[x] = (before + 1) & across[x];
        }
        if (y < distance) continue;
        const std::size_t middle = static_cast<std::size_t>(y - distance) * width;
        for (std::size_t x = 0; x < width; ++x) {
            out[middle + x] = down[x] >= span ? fill : labels[middle + x];
        }
    }
    const std::size_t done = static_cast<std::size_t>(height - distance) * width;
    std::memcpy(out + done, labels + done, sizeof(Label) * (pixels - done));
}

// ---- Distances ----------------------------------------------------------------------------

constexpr std::int32_t FAR = 1 << 28;  // stands for a column without others

static std::size_t nearest_bytes(const NearestJob& job) {
    Carver carver{nullptr, 0};
    carver.take<std::int32_t>(static_cast<std::size_t>(job.bottom - job.top) *
                              static_cast<std::size_t>(job.right - job.left));
    return carver.used;
}

// The first pass of Saito and Toriwaki: for every pixel of the box the number of rows to the
// nearest of the others in its column.
static void rows_to_others(const NearestJob& job, std::int32_t* rows) {
    const std::size_t width = static_cast<std::size_t>(job.right - job.left);
    const std::size_t height = static_cast<std::size_t>(job.bottom - job.top);
    for (std::size_t i = 0; i < height * width; ++i) rows[i] = FAR;
    for (std::int64_t n = 0; n < job.other_count; ++n) {
        const std::size_t y = static_cast<std::size_t>(job.others[2 * n] - job.top);
        rows[y * width + static_cast<std::size_t>(job.others[2 * n + 1] - job.left)] = 0;
    }
    const auto lower = [&](std::int32_t* here, const std::int32_t* from) {
        for (std::size_t x = 0; x < width; ++x) {
            const std::int32_t step = from[x] + 1;
            here[x] = here[x] < step ? here[x] : step;
        }
    };
    for (std::size_t y = 1; y < height; ++y) lower(rows + y * width, rows + (y - 1) * width);
    for (std::size_t y = height - 1; y-- > 0;) lower(rows + y * width, rows + (y + 1) * width);
}

// Their second pass, at the points alone: columns further away than the best so far cannot win.
static void nearest(const NearestJob& job, char* workspace) {
    Carver carver{workspace, 0};
    const std::int64_t width = job.right - job.left;
    std::int32_t* const rows =
        carver.take<std::int32_t>(static_cast<std::size_t>(job.bottom - job.top) *
                                  static_cast<std::size_t>(width));
    rows_to_others(job, rows);
    for (std::int64_t n = 0; n < job.count; ++n) {
        const std::int64_t x = job.points[2 * n + 1] - job.left;
        const std::int32_t* const row = rows + (job.points[2 * n] - job.top) * width;
        const auto squared = [&](std::int64_t column, double across) {
            if (row[column] == FAR) return HUGE_VAL;
            const double down = static_cast<double>(row[column]) * job.row_spacing;
            return down * down + across;
        };
        double best = squared(x, 0.0);
        for (std::int64_t step = 1; step < width; ++step) {
            const double offset = static_cast<double>(step) * job.column_spacing;
            const double across = offset * offset;
            if (across >= best) break;
            if (x >= step) {
                const double left = squared(x - step, across);
                best = left < best ? left : best;
            }
            if (x + step < width) {
                const double right = squared(x + step, across);
                best = right < best ? right : best;
            }
        }
        job.out[n] = best;
    }
}

const MetricKernels metric_kernels = {
#define PIXELWISE_PAIRS(Truth)                                                            \
    {                                                                                     \
        count_pairs<Truth, std::uint8_t>, count_pairs<Truth, std::uint16_t>,              \
            count_pairs<Truth, std::int32_t>, count_pairs<Truth, std::int64_t>            \
    }
    {PIXELWISE_PAIRS(std::uint8_t), PIXELWISE_PAIRS(std::uint16_t), PIXELWISE_PAIRS(std::int32_t),
     PIXELWISE_PAIRS(std::int64_t)},
#undef PIXELWISE_PAIRS
    border_bytes,
    near_borders<std::uint8_t>,
    near_borders<std::uint16_t>,
    nearest_bytes,
    nearest};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
