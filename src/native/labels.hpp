// Labels: the class with the highest interpolated score, the lowest id where several share it.
//
// A cell is the square between four neighbouring scores, and every output pixel lies in one. An
// interpolated score is a convex combination of the four. So where one class is the best at all
// four, it is the best in the whole cell, and nothing has to be computed (`find_winners`). In the
// other cells, a class whose largest corner is below the smallest corner of another class cannot
// win anywhere, which leaves two or three candidates out of any number (`find_candidates`).
//
// Real arithmetic ends there; float32 rounds. Two classes closer than the rounding error might
// come out equal, and then the lower id has to win, as it does in the full loop. Both shortcuts
// therefore ask for a lead of SLACK: the interpolation of one score has at most six roundings of
// 2^-24 each, a comparison has two of them, and SLACK is more than twice that. With it, every path
// gives the same labels bit for bit, and which one is taken is a matter of speed alone.
#pragma once

#include <limits>

#include "sweep.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

constexpr float SLACK = 1.0f / (1 << 19);
constexpr float TINY = 1e-35f;  // where relative errors end: products of denormal scores
constexpr float NOTHING = -std::numeric_limits<float>::infinity();

PIXELWISE_INLINE float lead_needed(float score) {
    return (score < 0 ? -score : score) * SLACK + TINY;
}

// ---- The full loop ------------------------------------------------------------------------

// `Blocks` vectors at once: one alone would wait for its own last comparison.
template <bool Near, int Blocks>
PIXELWISE_INLINE void best_classes(const float* line, int stride, int classes, const Taps* taps,
                                   std::int32_t* out) {
    Floats best[Blocks];
    Ints label[Blocks];
    for (int n = 0; n < Blocks; ++n) {
        best[n] = spread(NOTHING);
        label[n] = spread(0);
    }
    for (std::int32_t c = 0; c < classes; ++c, line += stride) {
        for (int n = 0; n < Blocks; ++n) {
            const Floats score = interpolate<Near>(line, taps[n]);
            label[n] = score > best[n] ? spread(c) : label[n];
            best[n] = larger(score, best[n]);
        }
    }
    for (int n = 0; n < Blocks; ++n) store(out + n * LANES, label[n]);
}

template <class Label, bool Near>
static void full_labels_of(const DecodeJob& job, int first, int last, SweepBuffers buffers,
                           Label* out) {
    constexpr int BLOCKS = LANES >= 16 ? 4 : 2;
    sweep(job, first, last, buffers, [&](int y, const Tile& tile, const float* line, int stride) {
        Label* const row = out + static_cast<std::size_t>(y) * job.columns.size;
        for (int x = tile.first; x < tile.last; x += BLOCKS * LANES) {
            Taps taps[BLOCKS];
            std::int32_t labels[BLOCKS * LANES];
            for (int n = 0; n < BLOCKS; ++n) {
                // Blocks past the end of the tile repeat its last one; their labels are dropped.
                const int start = x + n * LANES < tile.last ? x + n * LANES : x;
                taps[n] = taps_at(job.columns, start, tile.first_source);
            }
            best_classes<Near, BLOCKS>(line, stride, job.classes, taps, labels);
            const int count = least(BLOCKS * LANES, tile.last - x);
            for (int i = 0; i < count; ++i) row[x + i] = static_cast<Label>(labels[i]);
        }
    });
}

template <class Label>
static void full_labels(const DecodeJob& job, int first, int last, SweepBuffers buffers,
                        Label* out) {
    if (widest_block(job.columns) <= LANES) {
        full_labels_of<Label, true>(job, first, last, buffers, out);
    } else {
        full_labels_of<Label, false>(job, first, last, buffers, out);
    }
}

// ---- The best class of every score --------------------------------------------------------

constexpr int CHUNK = 2048;  // scores whose running state stays in the first-level cache
constexpr int UNCLEAR = -1;  // the lead over a lower id is within the rounding error

// Best class of `count` scores that lie side by side. False if a score is not finite.
static bool find_winners(const float* scores, std::size_t plane, int classes, int count,
                         float* __restrict best, float* __restrict runner_up,
                         std::int32_t* __restrict winner) {
    for (int i = 0; i < count; ++i) {
        best[i] = NOTHING;
        runner_up[i] = NOTHING;
        winner[i] = 0;
    }
    std::uint32_t largest_bits = 0;
    for (std::int32_t c = 0; c < classes; ++c, scores += plane) {
        const float* __restrict from = scores;
        for (int i = 0; i < count; ++i) {
            std::uint32_t score_bits;
            std::memcpy(&score_bits, from + i, sizeof score_bits);
            score_bits &= 0x7fffffffu;
            largest_bits = score_bits > largest_bits ? score_bits : largest_bits;
            const float score = from[i];
            const bool wins = score > best[i];
            // Only lower ids can take a rounded tie, and they are all behind the old best.
            runner_up[i] = wins ? best[i] : runner_up[i];
            winner[i] = wins ? c : winner[i];
            best[i] = wins ? score : best[i];
        }
    }
    for (int i = 0; i < count; ++i) {
        winner[i] = best[i] - runner_up[i] > lead_needed(best[i]) ? winner[i] : UNCLEAR;
    }
    return largest_bits < 0x7f800000u;
}

// Winners of a few neighbouring score rows, kept while the output moves down over them.
struct WinnerRows {
    static constexpr int CAPACITY = 17;
    int first_row;
    int rows;
    int first_column;
    int columns;
    bool finite;
    std::int32_t* winner;  // [CAPACITY, columns]
    float* best;           // [CHUNK]
    float* runner_up;      // [CHUNK]
};

static WinnerRows take_winner_rows(Carver& carver, const DecodeJob& job) {
    WinnerRows state{};
    state.first_column = job.columns.low[0];
    state.columns = sources_of(job.columns, 0, job.columns.size);
    state.winner = carver.take<std::int32_t>(
        static_cast<std::size_t>(WinnerRows::CAPACITY) * state.columns);
    state.best = carver.take<float>(CHUNK);
    state.runner_up = carver.take<float>(CHUNK);
    return state;
}

static void append_winners(const DecodeJob& job, WinnerRows& state, int rows) {
    const std::size_t plane = static_cast<std::size_t>(job.height) * job.width;
    const float* from = job.scores +
                        static_cast<std::size_t>(state.first_row + state.rows) * job.width +
                        state.first_column;
    std::int32_t* winner = state.winner + static_cast<std::size_t>(state.rows) * state.columns;
    // Whole rows lie side by side and are searched as one long row.
    const bool joined = state.columns == job.width;
    const int lines = joined ? 1 : rows;
    const int length = joined ? rows * state.columns : state.columns;
    for (int line = 0; line < lines; ++line, from += job.width) {
        for (int start = 0; start < length; start += CHUNK) {
            const int count = least(CHUNK, length - start);
            const bool finite = find_winners(from + start, plane, job.classes, count, state.best,
                                             state.runner_up, winner);
            state.finite = state.finite && finite;
            winner += count;
        }
    }
    state.rows += rows;
}

// Makes the winners of rows upper and lower available, with `ahead` more below if that is cheap.
static void need_winners(const DecodeJob& job, WinnerRows& state, int upper, int lower, int ahead) {
    if (upper >= state.first_row && lower < state.first_row + state.rows) return;
    if (state.rows && upper == state.first_row + state.rows - 1 && state.finite) {
        const std::size_t last = static_cast<std::size_t>(state.rows - 1) * state.columns;
        std::memcpy(state.winner, state.winner + last, sizeof(std::int32_t) * state.columns);
        state.rows = 1;
    } else {
        state.rows = 0;
        state.finite = true;
    }
    state.first_row = upper;
    const int wanted = least(lower - upper + 1 + ahead, WinnerRows::CAPACITY);
    append_winners(job, state, wanted - state.rows);
}

PIXELWISE_INLINE const std::int32_t* winners_of(const WinnerRows& state, int row) {
    return state.winner + static_cast<std::size_t>(row - state.first_row) * state.columns;
}

// ---- The cells that need work -------------------------------------------------------------

struct CellBuffers {
    std::int32_t* first_output;  // [columns + 1]: the first output column in or after each cell
    std::int32_t* label;         // [columns + LANES]: the class of a whole cell, or UNCLEAR
    float* largest;              // [classes, LANES]: the largest corner of each cell of a block
    std::int32_t* candidates;    // [LANES, classes]
    float* corners;              // [4, classes]
    std::int32_t cells;
};

static CellBuffers take_cell_buffers(Carver& carver, const DecodeJob& job, int columns) {
    CellBuffers buffers{};
    const std::size_t classes = static_cast<std::size_t>(job.classes);
    buffers.first_output = carver.take<std::int32_t>(static_cast<std::size_t>(columns) + 1);
    buffers.label = carver.take<std::int32_t>(static_cast<std::size_t>(columns) + LANES);
    buffers.largest = carver.take<float>(classes * LANES);
    buffers.candidates = carver.take<std::int32_t>(classes * LANES);
    buffers.corners = carver.take<float>(classes * 4);
    buffers.cells = job.columns.low[job.columns.size - 1] - job.columns.low[0] + 1;
    return buffers;
}

static void find_cell_columns(const DecodeJob& job, CellBuffers& buffers) {
    int x = 0;
    for (int cell = 0; cell <= buffers.cells; ++cell) {
        while (x < job.columns.size && job.columns.low[x] - job.columns.low[0] < cell) ++x;
        buffers.first_output[cell] = x;
    }
}

// The class of each cell between two score rows; returns how many cells have none.
static int find_cell_labels(const std::int32_t* __restrict upper,
                            const std::int32_t* __restrict lower, int columns, int cells,
                            std::int32_t* __restrict label) {
    int unclear = 0;
    const int whole = least(cells, columns - 1);
    for (int x = 0; x < whole; ++x) {
        const std::int32_t here = upper[x];
        const bool agree =
            (here == upper[x + 1]) & (here == lower[x]) & (here == lower[x + 1]) & (here >= 0);
        label[x] = agree ? here : UNCLEAR;
        unclear += !agree;
    }
    if (whole < cells) {  // at the right edge of the scores a cell has no width
        const bool agree = upper[whole] == lower[whole] && upper[whole] >= 0;
        label[whole] = agree ? upper[whole] : UNCLEAR;
        unclear += !agree;
    }
    for (int x = cells; x < cells + LANES; ++x) label[x] = 0;
    return unclear;
}

template <class Label>
static void fill_clear_cells(const CellBuffers& buffers, Label* row) {
    for (int cell = 0; cell < buffers.cells;) {
        const std::int32_t label = buffers.label[cell];
        int end = cell + 1;
        while (buffers.label[end] == label && end < buffers.cells) ++end;
        if (label != UNCLEAR) {
            const int last = buffers.first_output[end];
            for (int x = buffers.first_output[cell]; x < last; ++x) {
                row[x] = static_cast<Label>(label);
            }
        }
        cell = end;
    }
}

// The classes that can win in each of the LANES cells from `cell` on.
static void find_candidates(const DecodeJob& job, const CellBuffers& buffers, int cell, int upper,
                            int lower, int* counts) {
    const std::size_t plane = static_cast<std::size_t>(job.height) * job.width;
    const int column = job.columns.low[0] + cell;
    const int classes = job.classes;
    const float* top = job.scores + static_cast<std::size_t>(upper) * job.width;
    const float* bottom = job.scores + static_cast<std::size_t>(lower) * job.width;
    const bool inside = column + LANES + 1 <= job.width;
    float edge[4][LANES];
    Floats floor = spread(NOTHING);
    for (int c = 0; c < classes; ++c, top += plane, bottom += plane) {
        Floats corner[4];
        if (inside) {
            corner[0] = load(top + column);
            corner[1] = load(top + column + 1);
            corner[2] = load(bottom + column);
            corner[3] = load(bottom + column + 1);
        } else {
            for (int lane = 0; lane < LANES; ++lane) {
                const int left = least(column + lane, job.width - 1);
                const int right = least(column + lane + 1, job.width - 1);
                edge[0][lane] = top[left];
                edge[1][lane] = top[right];
                edge[2][lane] = bottom[left];
                edge[3][lane] = bottom[right];
            }
            for (int i = 0; i < 4; ++i) corner[i] = load(edge[i]);
        }
        const Floats smallest =
            smaller(smaller(corner[0], corner[1]), smaller(corner[2], corner[3]));
        floor = larger(smallest, floor);
        store(buffers.largest + static_cast<std::size_t>(c) * LANES,
              larger(larger(corner[0], corner[1]), larger(corner[2], corner[3])));
    }
    float threshold[LANES];
    store(threshold, floor);
    for (int lane = 0; lane < LANES; ++lane) {
        counts[lane] = 0;
        threshold[lane] = buffers.label[cell + lane] == UNCLEAR
                              ? threshold[lane] - lead_needed(threshold[lane])
                              : -NOTHING;
    }
    const Floats needed = load(threshold);
    for (std::int32_t c = 0; c < classes; ++c) {
        const Floats largest = load(buffers.largest + static_cast<std::size_t>(c) * LANES);
        std::uint32_t can_win = at_least(largest, needed);
        for (; can_win; can_win &= can_win - 1) {
            const int lane = lowest_bit(can_win);
            buffers.candidates[static_cast<std::size_t>(lane) * classes + counts[lane]++] = c;
        }
    }
}

// One cell, output rows first <= y < last, by its candidates alone.
template <class Label>
static void label_cell(const DecodeJob& job, const CellBuffers& buffers, int cell,
                       const std::int32_t* candidates, int count, int first, int last, Label* out) {
    const AxisTable& columns = job.columns;
    const int start = buffers.first_output[cell];
    const int end = buffers.first_output[cell + 1];
    const std::size_t plane = static_cast<std::size_t>(job.height) * job.width;
    const float* top = job.scores + static_cast<std::size_t>(job.rows.low[first]) * job.width;
    const float* bottom = job.scores + static_cast<std::size_t>(job.rows.high[first]) * job.width;
    const int left = columns.low[0] + cell;
    const int right = least(left + 1, job.width - 1);
    float* const corners = buffers.corners;
    for (int k = 0; k < count; ++k) {
        const std::size_t offset = candidates[k] * plane;
        corners[4 * k] = top[offset + left];
        corners[4 * k + 1] = top[offset + right];
        corners[4 * k + 2] = bottom[offset + left];
        corners[4 * k + 3] = bottom[offset + right];
    }
    for (int y = first; y < last; ++y) {
        const float upper_weight = job.rows.low_weight[y];
        const float lower_weight = job.rows.high_weight[y];
        Label* const row = out + static_cast<std::size_t>(y) * columns.size;
        for (int x = start; x < end; x += LANES) {
            const Floats low_weight = load(columns.low_weight + x);
            const Floats high_weight = load(columns.high_weight + x);
            Floats best = spread(NOTHING);
            Ints label = spread(0);
            for (int k = 0; k < count; ++k) {
                const float* corner = corners + 4 * k;
                const float low = corner[0] * upper_weight + corner[2] * lower_weight;
                const float high = corner[1] * upper_weight + corner[3] * lower_weight;
                const Floats score = spread(low) * low_weight + spread(high) * high_weight;
                label = score > best ? spread(candidates[k]) : label;
                best = larger(score, best);
            }
            std::int32_t labels[LANES];
            store(labels, label);
            const int width = least(LANES, end - x);
            for (int i = 0; i < width; ++i) row[x + i] = static_cast<Label>(labels[i]);
        }
    }
}

template <class Label>
static void label_unclear_cells(const DecodeJob& job, const CellBuffers& buffers, int first,
                                int last, Label* out) {
    for (int block = 0; block < buffers.cells; block += LANES) {
        bool any = false;
        for (int lane = 0; lane < LANES; ++lane) any |= buffers.label[block + lane] == UNCLEAR;
        if (!any) continue;
        int counts[LANES];
        find_candidates(job, buffers, block, job.rows.low[first], job.rows.high[first], counts);
        for (int lane = 0; lane < LANES; ++lane) {
            if (buffers.label[block + lane] != UNCLEAR) continue;
            label_cell(job, buffers, block + lane,
                       buffers.candidates + static_cast<std::size_t>(lane) * job.classes,
                       counts[lane], first, last, out);
        }
    }
}

// ---- Which way for which rows -------------------------------------------------------------

struct LabelBuffers {
    SweepBuffers sweep;
    WinnerRows winners;
    CellBuffers cells;
};

static LabelBuffers take_label_buffers(Carver& carver, const DecodeJob& job) {
    LabelBuffers buffers{};
    buffers.winners = take_winner_rows(carver, job);
    buffers.cells = take_cell_buffers(carver, job, buffers.winners.columns);
    buffers.sweep = take_sweep_buffers(carver, job);
    return buffers;
}

// The first output row after `first` that lies in another row of cells, at most `last`.
PIXELWISE_INLINE int end_of_cell_row(const DecodeJob& job, int first, int last) {
    int end = first + 1;
    while (end < last && job.rows.low[end] == job.rows.low[first]) ++end;
    return end;
}

// Searching for winners in noise is wasted. After a row of mostly unclear cells, the next 4, 8 …
// MOST_SKIPPED rows of cells are taken by the full loop without a look.
constexpr int FIRST_SKIPPED = 4;
constexpr int MOST_SKIPPED = 32;

// Is the full loop faster for this many output rows of one row of cells? Both sides are nanoseconds
// times LANES, measured at 19 and 150 classes: a vector of the full loop takes about one per class,
// an unclear cell about 40 and 2 per class. With more unclear cells than clear ones the scores are
// taken for noise, where nearly all classes are candidates.
PIXELWISE_INLINE bool full_loop_pays(const DecodeJob& job, int unclear, int cells, int rows) {
    if (2 * unclear > cells) return true;
    const std::int64_t pixels = static_cast<std::int64_t>(rows) * job.columns.size;
    return unclear * (40 + std::int64_t{2} * job.classes) * LANES > job.classes * pixels;
}

template <class Label>
static void labels(const DecodeJob& job, int first, int last, char* workspace, Label* out) {
    Carver carver{workspace, 0};
    LabelBuffers buffers = take_label_buffers(carver, job);
    find_cell_columns(job, buffers.cells);
    const int most_ahead = least(WinnerRows::CAPACITY - 2, CHUNK / buffers.winners.columns);
    const int cells = buffers.cells.cells;
    int ahead = 0;
    int skip = FIRST_SKIPPED;
    for (int y = first; y < last;) {
        int end = end_of_cell_row(job, y, last);
        const int upper = job.rows.low[y];
        const int lower = job.rows.high[y];
        const int rows_left = job.rows.high[last - 1] - lower;
        need_winners(job, buffers.winners, upper, lower, least(ahead, rows_left));
        const int unclear =
            find_cell_labels(winners_of(buffers.winners, upper), winners_of(buffers.winners, lower),
                             buffers.winners.columns, cells, buffers.cells.label);
        if (!buffers.winners.finite || full_loop_pays(job, unclear, cells, end - y)) {
            for (int n = 0; n < skip && end < last; ++n) end = end_of_cell_row(job, end, last);
            full_labels(job, y, end, buffers.sweep, out);
            skip = least(2 * skip, MOST_SKIPPED);
            ahead = 0;
        } else {
            Label* const row = out + static_cast<std::size_t>(y) * job.columns.size;
            fill_clear_cells(buffers.cells, row);
            for (int next = y + 1; next < end; ++next) {
                std::memcpy(out + static_cast<std::size_t>(next) * job.columns.size, row,
                            sizeof(Label) * job.columns.size);
            }
            if (unclear) label_unclear_cells(job, buffers.cells, y, end, out);
            skip = FIRST_SKIPPED;
            // Looking ahead pays where rows of cells follow each other without gaps.
            const bool dense = end == last || job.rows.low[end] <= upper + 1;
            ahead = dense ? most_ahead : 0;
        }
        y = end;
    }
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
