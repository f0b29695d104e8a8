// Bilinear upsampling and cross-entropy in one pass, with the gradient: no [classes, rows, columns]
// array of the picture's size. CMake compiles this file once per instruction set, each time into a
// namespace of its own named by PIXELWISE_VARIANT, and loss_bindings.cpp picks the best that the
// CPU can run.
//
// A cell row is the output rows between two neighbouring rows of scores. Both are spread to the
// full width, one tile of columns at a time; every output row between them is a blend of the two;
// its gradient is added to two rows of the same width, which are summed back to the columns of the
// scores once per cell row.
//
// Nothing in here may call an inline function of the standard library: see simd.hpp.
#include "loss_columns.hpp"
#include "loss_rows.hpp"
#include "upsampled_loss.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

constexpr int ROWS = 4;               // output rows that are worked on at once
constexpr int SPREAD_FLOATS = 10240;  // of each of the four [classes, pixels] buffers of a tile

// Output columns of a tile: whole blocks.
static int tile_pixels(const LossJob& job) {
    const int wanted = SPREAD_FLOATS / job.classes / LANES;
    return least(most(wanted, 1), blocks_of(job.columns)) * LANES;
}

static Tile tile_at(const LossJob& job, int first) {
    const int last = least(first + tile_pixels(job), job.columns.size);
    return {first, last, job.columns.low[first], sources_of(job.columns, first, last)};
}

// Source columns of the widest tile, and those that vectors may touch behind it.
static int tile_sources(const LossJob& job) {
    int widest = 0;
    for (int x = 0; x < job.columns.size; x += tile_pixels(job)) {
        widest = most(widest, tile_at(job, x).sources);
    }
    return (widest + 2 * LANES + 15) / 16 * 16;
}

struct LossBuffers {
    int pixels;             // output columns of a tile
    int sources;            // source columns of a tile, and some more
    float* upper;           // [classes, pixels] scores of the two rows around a cell row
    float* lower;
    float* upper_gradient;  // [classes, pixels]
    float* lower_gradient;
    float* line;            // [classes, sources]
    float* scores;          // [ROWS, classes, LANES]
    float* plain;           // the same for label smoothing
    std::int32_t* targets;  // [ROWS, pixels]
    float* weights;         // [ROWS, pixels]
    Returns returns;
};

static LossBuffers take_loss_buffers(Carver& carver, const LossJob& job) {
    const std::size_t classes = static_cast<std::size_t>(job.classes);
    const std::size_t pixels = static_cast<std::size_t>(tile_pixels(job));
    LossBuffers buffers{};
    buffers.pixels = tile_pixels(job);
    buffers.sources = tile_sources(job);
    buffers.upper = carver.take<float>(classes * pixels);
    buffers.lower = carver.take<float>(classes * pixels);
    buffers.upper_gradient = carver.take<float>(classes * pixels);
    buffers.lower_gradient = carver.take<float>(classes * pixels);
    buffers.line = carver.take<float>(classes * static_cast<std::size_t>(buffers.sources));
    buffers.scores = carver.take<float>(ROWS * classes * LANES);
    buffers.plain = carver.take<float>(job.label_smoothing > 0 ? ROWS * classes * LANES : 0);
    buffers.targets = carver.take<std::int32_t>(ROWS * pixels);
    buffers.weights = carver.take<float>(ROWS * pixels);
    buffers.returns = take_returns(carver, job.columns);
    return buffers;
}

static std::size_t workspace_bytes(const LossJob& job) {
    Carver carver{nullptr, 0};
    take_loss_buffers(carver, job);
    return carver.used;
}

// A sum of many small terms, and what its additions have lost (Kahan).
struct Total {
    Floats sum, lost;

    void add(Floats term) {
        const Floats wanted = term - lost;
        const Floats next = sum + wanted;
        lost = (next - sum) - wanted;
        sum = next;
    }

    double value() const {
        float sums[LANES], losses[LANES];
        store(sums, sum);
        store(losses, lost);
        double value = 0;
        for (int i = 0; i < LANES; ++i) value += static_cast<double>(sums[i]) - losses[i];
        return value;
    }
};

struct Unit {
    int number;
    int image;
    int first_row;  // rows of scores first_row <= s < last_row
    int last_row;
    float weights_sum;
    Total total;
};

static Unit unit_of(const LossJob& job, int number) {
    const int first_row = number % job.bands * job.band_rows;
    Unit unit{number, number / job.bands, first_row, least(first_row + job.band_rows, job.height),
              0.0f, Total{}};
    if (job.label_smoothing > 0) {
        for (std::int32_t c = 0; c < job.classes; ++c) unit.weights_sum += job.class_weights[c];
    }
    return unit;
}

// ---- The truth ----------------------------------------------------------------------------

// Ids of `count` pixels to classes, unions and -1, and the weights of the pixels.
template <class Id, class Wide>
static void read_targets(const LossJob& job, std::size_t from, int count, std::int32_t* targets,
                         float* weights) {
    const Id* const ids = static_cast<const Id*>(job.target) + from;
    const Wide rows = job.table_rows;
    const bool possible = static_cast<std::int64_t>(static_cast<Wide>(job.ignore_index)) ==
                          job.ignore_index;
    const Wide ignored = possible ? static_cast<Wide>(job.ignore_index) : Wide{-1};
    for (int i = 0; i < count; ++i) {
        const Wide id = static_cast<Wide>(ids[i]);
        const bool counts = id != ignored && id >= 0 && id < rows;
        targets[i] = counts ? static_cast<std::int32_t>(id) : -1;
        weights[i] = counts ? 1.0f : 0.0f;
    }
    for (int i = 0; job.row_weights && i < count; ++i) {
        if (targets[i] < 0) continue;
        const float weight = job.row_weights[targets[i]];
        targets[i] = weight < 0 ? -1 : targets[i];
        weights[i] = weight < 0 ? 0.0f : weight;
    }
}

static void read_targets(const LossJob& job, int image, int y, const Tile& tile,
                         std::int32_t* targets, float* weights) {
    const std::size_t from =
        (static_cast<std::size_t>(image) * job.rows.size + y) * job.columns.size + tile.first;
    const int count = tile.last - tile.first;
    switch (job.id_bytes) {
        case 1:
            read_targets<std::uint8_t, std::int32_t>(job, from, count, targets, weights);
            break;
        case 2:
            read_targets<std::uint16_t, std::int32_t>(job, from, count, targets, weights);
            break;
        case 4:
            read_targets<std::int32_t, std::int32_t>(job, from, count, targets, weights);
            break;
        default:
            read_targets<std::int64_t, std::int64_t>(job, from, count, targets, weights);
    }
    for (int i = count; i % LANES != 0; ++i) {
        targets[i] = -1;
        weights[i] = 0.0f;
    }
}

// ---- One cell row -------------------------------------------------------------------------

struct CellRow {
    Block scores;
    float* upper_gradient;  // of the block, `scores.stride` apart
    float* lower_gradient;
    bool finite;
};

template <int Count>
static void add_block(const LossJob& job, const LossBuffers& buffers, const CellRow& cell,
                      PixelRow* rows, Unit& unit) {
    if (cell.finite) {
        interpolate_rows<Count, true>(cell.scores, job.classes, rows, buffers.scores);
    } else {
        interpolate_rows<Count, false>(cell.scores, job.classes, rows, buffers.scores);
    }
    const std::size_t size = static_cast<std::size_t>(job.classes) * LANES;
    const bool smooth = job.label_smoothing > 0;
    for (int n = 0; n < Count; ++n) {
        float* const scores = buffers.scores + n * size;
        if (smooth) {
            exponentials<true>(job, rows[n], scores, buffers.plain + n * size);
        } else {
            exponentials<false>(job, rows[n], scores, nullptr);
        }
        if (rows[n].has_union) sum_unions(job, cell.scores, rows[n], scores);
        unit.total.add(finish(job, unit.weights_sum, rows[n]));
    }
    if (!job.gradient) return;
    if (smooth) {
        add_gradient<Count, true>(job, rows, buffers.scores, buffers.plain, cell.upper_gradient,
                                  cell.lower_gradient, cell.scores.stride);
    } else {
        add_gradient<Count, false>(job, rows, buffers.scores, nullptr, cell.upper_gradient,
                                   cell.lower_gradient, cell.scores.stride);
    }
}

// Output rows first <= y < last, at most ROWS, between the same two rows of scores.
static void add_rows(const LossJob& job, const LossBuffers& buffers, const Tile& tile, int first,
                     int last, bool finite, Unit& unit) {
    const int stride = buffers.pixels;
    for (int y = first; y < last; ++y) {
        const int place = (y - first) * stride;
        read_targets(job, unit.image, y, tile, buffers.targets + place, buffers.weights + place);
    }
    for (int x = 0; x < tile.last - tile.first; x += LANES) {
        PixelRow rows[ROWS];
        int count = 0;
        for (int y = first; y < last; ++y) {
            const std::int32_t* const targets = buffers.targets + (y - first) * stride + x;
            std::int32_t highest = -1;
            for (int i = 0; i < LANES; ++i) highest = most(highest, targets[i]);
            if (highest < 0) continue;
            PixelRow& row = rows[count++];
            row.upper_weight = job.rows.low_weight[y];
            row.lower_weight = job.rows.high_weight[y];
            row.target = load(targets);
            row.weight = load(buffers.weights + (y - first) * stride + x);
            row.has_union = highest >= job.classes;
        }
        const CellRow cell{{buffers.upper + x, buffers.lower + x, stride},
                           buffers.upper_gradient + x,
                           buffers.lower_gradient + x,
                           finite};
        switch (count) {
            case 0: break;
            case 1: add_block<1>(job, buffers, cell, rows, unit); break;
            case 2: add_block<2>(job, buffers, cell, rows, unit); break;
            case 3: add_block<3>(job, buffers, cell, rows, unit); break;
            default: add_block<ROWS>(job, buffers, cell, rows, unit);
        }
    }
}

// ---- One unit -----------------------------------------------------------------------------

static float* gradient_at(const LossJob& job, int image, int row) {
    const std::size_t across = job.channels_last ? job.classes : 1;
    return job.gradient +
           static_cast<std::size_t>(image) * job.classes * job.height * job.width +
           static_cast<std::size_t>(row) * job.width * across;
}

static float* border_of(const LossJob& job, int unit) {
    return job.borders + static_cast<std::size_t>(unit) * job.classes * job.width;
}

static void clear_gradient(const LossJob& job, const Unit& unit) {
    const std::size_t size =
        sizeof(float) * static_cast<std::size_t>(unit.last_row - unit.first_row) * job.width;
    float* const from = gradient_at(job, unit.image, unit.first_row);
    if (job.channels_last) {
        std::memset(from, 0, size * job.classes);
    } else {
        const std::size_t plane = static_cast<std::size_t>(job.height) * job.width;
        for (int c = 0; c < job.classes; ++c) std::memset(from + c * plane, 0, size);
    }
    std::memset(border_of(job, unit.number), 0,
                sizeof(float) * static_cast<std::size_t>(job.classes) * job.width);
}

// The gradient of one row of scores of a tile, back from the full width.
template <bool Near>
static void return_row(const LossJob& job, const LossBuffers& buffers, const Tile& tile,
                       const Unit& unit, int row, const float* gradient) {
    const bool border = row >= unit.last_row;
    const std::size_t across = job.channels_last && !border ? job.classes : 1;
    const std::size_t plane = border              ? static_cast<std::size_t>(job.width)
                              : job.channels_last ? 1
                                                  : static_cast<std::size_t>(job.height) *
                                                        static_cast<std::size_t>(job.width);
    float* to = border ? border_of(job, unit.number) : gradient_at(job, unit.image, row);
    to += tile.first_source * across;
    for (int c = 0; c < job.classes; ++c, to += plane, gradient += buffers.pixels) {
        std::memset(buffers.line, 0, sizeof(float) * (tile.sources + LANES + 1));
        add_returned<Near>(job.columns, buffers.returns, tile.first, tile.last - tile.first,
                           tile.first_source, gradient, buffers.line);
        if (across == 1) {
            for (int i = 0; i < tile.sources; ++i) to[i] += buffers.line[i];
        } else {
            for (int i = 0; i < tile.sources; ++i) to[i * across] += buffers.line[i];
        }
    }
}

// The two rows of scores around a cell row, and their gradients, as a tile goes down.
template <bool Near>
class Window {
   public:
    Window(const LossJob& job, const LossBuffers& buffers, const Tile& tile, const Unit& unit)
        : job_(job), buffers_(buffers), tile_(tile), unit_(unit) {}

    void move_to(int upper_row, int lower_row) {
        if (upper_row_ != upper_row) {
            give_back(upper_row_, buffers_.upper_gradient);
            if (lower_row_ == upper_row) {
                swap(buffers_.upper, buffers_.lower);
                swap(buffers_.upper_gradient, buffers_.lower_gradient);
                upper_finite_ = lower_finite_;
            } else {
                give_back(lower_row_, buffers_.lower_gradient);
                upper_finite_ = take(upper_row, buffers_.upper, buffers_.upper_gradient);
            }
            upper_row_ = upper_row;
            lower_row_ = -1;
        }
        if (lower_row_ != lower_row) {
            // The last row of scores has none below it: its weight is 0, it stands in for itself.
            lower_finite_ = take(lower_row, buffers_.lower, buffers_.lower_gradient);
            lower_row_ = lower_row;
        }
    }

    void finish() {
        give_back(upper_row_, buffers_.upper_gradient);
        give_back(lower_row_, buffers_.lower_gradient);
    }

    const LossBuffers& buffers() const { return buffers_; }
    bool finite() const { return upper_finite_ && lower_finite_; }

   private:
    static void swap(float*& a, float*& b) {
        float* const kept = a;
        a = b;
        b = kept;
    }

    bool take(int row, float* scores, float* gradient) {
        const bool finite = copy_logits(job_, unit_.image, row, tile_.first_source, tile_.sources,
                                        buffers_.sources, buffers_.line);
        spread_row<Near>(job_, tile_, buffers_.line, buffers_.sources, buffers_.pixels, scores);
        const std::size_t size = static_cast<std::size_t>(job_.classes) * buffers_.pixels;
        std::memset(gradient, 0, sizeof(float) * size);
        return finite;
    }

    void give_back(int row, const float* gradient) {
        if (row < 0 || !job_.gradient) return;
        return_row<Near>(job_, buffers_, tile_, unit_, row, gradient);
    }

    const LossJob& job_;
    LossBuffers buffers_;
    const Tile tile_;
    const Unit& unit_;
    int upper_row_ = -1;
    int lower_row_ = -1;
    bool upper_finite_ = true;
    bool lower_finite_ = true;
};

// The first output row that lies at or after a row of scores.
static int first_output(const AxisTable& rows, int source) {
    int y = 0;
    while (y < rows.size && rows.low[y] < source) ++y;
    return y;
}

template <bool Near>
static void run_unit(const LossJob& job, const LossBuffers& buffers, int number) {
    Unit unit = unit_of(job, number);
    if (job.gradient) clear_gradient(job, unit);
    const int first = first_output(job.rows, unit.first_row);
    const int last = first_output(job.rows, unit.last_row);
    for (int x = 0; first < last && x < job.columns.size; x += buffers.pixels) {
        const Tile tile = tile_at(job, x);
        Window<Near> window(job, buffers, tile, unit);
        for (int y = first; y < last;) {
            int end = y + 1;
            while (end < last && end < y + ROWS && job.rows.low[end] == job.rows.low[y]) ++end;
            window.move_to(job.rows.low[y], job.rows.high[y]);
            add_rows(job, window.buffers(), tile, y, end, window.finite(), unit);
            y = end;
        }
        window.finish();
    }
    job.totals[number] = unit.total.value();
}

static void run(const LossJob& job, int first, int last, char* workspace) {
    Carver carver{workspace, 0};
    const LossBuffers buffers = take_loss_buffers(carver, job);
    const bool near = widest_block(job.columns) <= LANES;
    if (near) fill_returns(job.columns, buffers.returns);
    for (int number = first; number < last; ++number) {
        if (near) {
            run_unit<true>(job, buffers, number);
        } else {
            run_unit<false>(job, buffers, number);
        }
    }
}

static void merge(const LossJob& job, int first, int last) {
    for (int number = first; number < last; ++number) {
        const Unit unit = unit_of(job, number);
        if (unit.first_row == 0) continue;
        const float* border = border_of(job, number - 1);
        float* const row = gradient_at(job, unit.image, unit.first_row);
        const std::size_t across = job.channels_last ? job.classes : 1;
        const std::size_t plane =
            job.channels_last ? 1 : static_cast<std::size_t>(job.height) * job.width;
        for (int c = 0; c < job.classes; ++c, border += job.width) {
            float* const to = row + c * plane;
            for (int i = 0; i < job.width; ++i) to[i * across] += border[i];
        }
    }
}

const LossKernels loss_kernels = {workspace_bytes, run, merge};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
