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

// ---- Contours -----------------------------------------------------------------------------

constexpr int PACK = 8;  // marks that are looked at together

static std::size_t padded(std::int32_t width) {
    return (static_cast<std::size_t>(width) + PACK - 1) / PACK * PACK;
}

static std::size_t contour_bytes(const ContourJob& job) {
    Carver carver{nullptr, 0};
    carver.take<std::uint8_t>(padded(job.width));
    return carver.used;
}

// Marks the pixels of row y with a neighbour of another label, or at the picture's edge.
template <class Label>
static void mark_contour(const ContourJob& job, int y, std::uint8_t* marks) {
    const std::size_t width = static_cast<std::size_t>(job.width);
    const Label* const row = static_cast<const Label*>(job.labels) + y * width;
    if (y == 0 || y == job.height - 1) {
        std::memset(marks, 1, width);
        return;
    }
    const Label* const above = row - width;
    const Label* const below = row + width;
    for (std::size_t x = 1; x + 1 < width; ++x) {
        const Label differing = static_cast<Label>((row[x] ^ above[x]) | (row[x] ^ below[x]) |
                                                   (row[x] ^ row[x - 1]) | (row[x] ^ row[x + 1]));
        marks[x] = differing != 0;
    }
    marks[0] = marks[width - 1] = 1;
}

template <class Label>
static void contours(const ContourJob& job, char* workspace) {
    Carver carver{workspace, 0};
    std::uint8_t* const marks = carver.take<std::uint8_t>(padded(job.width));
    std::memset(marks, 0, padded(job.width));
    for (int y = 0; y < job.height; ++y) {
        const Label* const row =
            static_cast<const Label*>(job.labels) + static_cast<std::size_t>(y) * job.width;
        mark_contour<Label>(job, y, marks);
        for (int first = 0; first < job.width; first += PACK) {
            std::uint64_t any;
            std::memcpy(&any, marks + first, sizeof any);
            if (any == 0) continue;
            for (int x = first; x < least(first + PACK, job.width); ++x) {
                const std::int32_t id = row[x];
                if (!marks[x] || id >= job.classes) continue;
                if (job.points) {
                    std::int32_t* const point = job.points + 2 * job.places[id]++;
                    point[0] = y;
                    point[1] = x;
                } else {
                    ++job.counts[id];
                }
            }
        }
    }
}

// ---- Distances ----------------------------------------------------------------------------

// Saito and Toriwaki: first the number of rows to the nearest of the others in every column of the
// box, down and then up; then, where a row has points, the nearest along the row.

// Points in the order of their rows: those of row y are order[starts[y]] to order[starts[y + 1]].
struct ByRow {
    std::int64_t* starts;  // [rows + 1]
    std::int64_t* order;
};

static std::int64_t rows_of(const NearestJob& job) { return std::int64_t{job.bottom} - job.top; }
static std::int64_t columns_of(const NearestJob& job) { return std::int64_t{job.right} - job.left; }

static ByRow take_by_row(Carver& carver, const NearestJob& job, std::int64_t count) {
    ByRow by_row{};
    by_row.starts = carver.take<std::int64_t>(static_cast<std::size_t>(rows_of(job) + 1));
    by_row.order = carver.take<std::int64_t>(static_cast<std::size_t>(count));
    return by_row;
}

static void sort_by_row(const NearestJob& job, const std::int32_t* points, std::int64_t count,
                        const ByRow& by_row) {
    const std::int64_t rows = rows_of(job);
    std::int64_t* const starts = by_row.starts;
    for (std::int64_t y = 0; y <= rows; ++y) starts[y] = 0;
    for (std::int64_t n = 0; n < count; ++n) ++starts[points[2 * n] - job.top];
    for (std::int64_t y = 1; y <= rows; ++y) starts[y] += starts[y - 1];
    // Each start is the end of its row now, and moves up as the row is filled from behind.
    for (std::int64_t n = count; n-- > 0;) by_row.order[--starts[points[2 * n] - job.top]] = n;
}

template <class Steps>
constexpr Steps FAR = static_cast<Steps>(~Steps{0});  // a column without others

template <class Steps>
PIXELWISE_INLINE Steps one_further(Steps steps) {
    return static_cast<Steps>(steps + (steps != FAR<Steps>));
}

// The least squared distance from column x, by the steps to the others in each column. Columns
// further away than the best so far cannot win.
template <class Steps>
static double nearest_along(const NearestJob& job, const Steps* row, std::int64_t x) {
    const std::int64_t columns = columns_of(job);
    const auto squared = [&](std::int64_t column, double across) {
        if (row[column] == FAR<Steps>) return HUGE_VAL;
        const double down = static_cast<double>(row[column]) * job.row_spacing;
        return down * down + across;
    };
    double best = squared(x, 0.0);
    for (std::int64_t step = 1; step < columns; ++step) {
        const double offset = static_cast<double>(step) * job.column_spacing;
        const double across = offset * offset;
        if (across >= best) break;
        if (x >= step) {
            const double left = squared(x - step, across);
            best = left < best ? left : best;
        }
        if (x + step < columns) {
            const double right = squared(x + step, across);
            best = right < best ? right : best;
        }
    }
    return best;
}

template <class Steps>
static void nearest_with(const NearestJob& job, const ByRow& points, const ByRow& others,
                         Steps* steps) {
    const std::int64_t rows = rows_of(job);
    const std::int64_t columns = columns_of(job);
    for (std::int64_t y = 0; y < rows; ++y) {
        Steps* const row = steps + y * columns;
        const Steps* const above = row - columns;
        if (y == 0) {
            for (std::int64_t x = 0; x < columns; ++x) row[x] = FAR<Steps>;
        } else {
            for (std::int64_t x = 0; x < columns; ++x) row[x] = one_further(above[x]);
        }
        for (std::int64_t i = others.starts[y]; i < others.starts[y + 1]; ++i) {
            row[job.others[2 * others.order[i] + 1] - job.left] = 0;
        }
    }
    for (std::int64_t y = rows; y-- > 0;) {
        Steps* const row = steps + y * columns;
        const Steps* const below = row + columns;
        if (y + 1 < rows) {
            for (std::int64_t x = 0; x < columns; ++x) {
                const Steps from_below = one_further(below[x]);
                row[x] = row[x] < from_below ? row[x] : from_below;
            }
        }
        for (std::int64_t i = points.starts[y]; i < points.starts[y + 1]; ++i) {
            const std::int64_t n = points.order[i];
            job.out[n] = nearest_along(job, row, job.points[2 * n + 1] - job.left);
        }
    }
}

struct NearestBuffers {
    ByRow points;
    ByRow others;
    std::uint16_t* steps;       // [rows, columns] if steps fit into it, else null
    std::uint32_t* long_steps;  // [rows, columns] likewise
};

static NearestBuffers take_nearest_buffers(Carver& carver, const NearestJob& job) {
    NearestBuffers buffers{};
    buffers.points = take_by_row(carver, job, job.count);
    buffers.others = take_by_row(carver, job, job.other_count);
    const std::size_t pixels = static_cast<std::size_t>(rows_of(job) * columns_of(job));
    if (rows_of(job) <= FAR<std::uint16_t>) {
        buffers.steps = carver.take<std::uint16_t>(pixels);
    } else {
        buffers.long_steps = carver.take<std::uint32_t>(pixels);
    }
    return buffers;
}

static std::size_t nearest_bytes(const NearestJob& job) {
    Carver carver{nullptr, 0};
    take_nearest_buffers(carver, job);
    return carver.used;
}

static void nearest(const NearestJob& job, char* workspace) {
    Carver carver{workspace, 0};
    const NearestBuffers buffers = take_nearest_buffers(carver, job);
    sort_by_row(job, job.points, job.count, buffers.points);
    sort_by_row(job, job.others, job.other_count, buffers.others);
    if (buffers.steps) {
        nearest_with(job, buffers.points, buffers.others, buffers.steps);
    } else {
        nearest_with(job, buffers.points, buffers.others, buffers.long_steps);
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
    contour_bytes,
    contours<std::uint8_t>,
    contours<std::uint16_t>,
    nearest_bytes,
    nearest};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
