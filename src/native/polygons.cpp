// The corners of the pixel grid where borders turn or meet, joined by straight edges, are a planar
// graph. A sweep over the rows makes it: at each row of corners only the ends of runs above and
// below are looked at. A region's rings are walks in this graph, with the region on the left.
#include "polygons.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace pixelwise {

namespace {

constexpr std::int32_t BAND = 512;  // rows whose borders are simplified together

// Places of the ends of runs, STEP pixels at a time: a word of eight bytes is compared with the
// word one pixel on.
template <class Label, class Change>
void each_change(const Label* row, std::int64_t width, Change change) {
    constexpr std::int64_t STEP = 8 / sizeof(Label);
    std::int64_t x = 0;
    for (; x + STEP < width; x += STEP) {
        std::uint64_t here;
        std::uint64_t next;
        std::memcpy(&here, row + x, 8);
        std::memcpy(&next, row + x + 1, 8);
        if (here == next) continue;
        for (std::int64_t i = x; i < x + STEP; ++i) {
            if (row[i] != row[i + 1]) change(i + 1);
        }
    }
    for (; x + 1 < width; ++x) {
        if (row[x] != row[x + 1]) change(x + 1);
    }
}

// The way on, by the ways of a corner and the one back: to the left as long as there is one.
struct WaysOn {
    std::uint8_t way[16][4];
    constexpr WaysOn() : way() {
        for (unsigned ways = 1; ways < 16; ++ways) {
            for (unsigned back = 0; back < 4; ++back) {
                unsigned out = (back + 1) % 4;
                while (!(ways & 1u << out)) out = (out + 1) % 4;
                way[ways][back] = static_cast<std::uint8_t>(out);
            }
        }
    }
};
constexpr WaysOn WAYS_ON;

}  // namespace

std::uint32_t Corners::add(std::int32_t x, std::int32_t y, std::uint8_t ways) {
    FreeNumbers& free = free_[static_cast<std::size_t>(x / COLUMNS)];
    if (free.count == 0) {
        if (corners_.size() + TOGETHER > NO_CORNER / 4) {
            throw std::length_error("borders with too many corners");
        }
        const std::uint32_t first = static_cast<std::uint32_t>(corners_.size());
        corners_.resize(corners_.size() + TOGETHER);
        free.numbers.resize(free.numbers.size() + TOGETHER);
        for (std::uint32_t n = TOGETHER; n > 0; --n) free.numbers[free.count++] = first + n - 1;
    }
    const std::uint32_t n = free.numbers[--free.count];
    ++held_;
    corners_[n] = {x, y, {NO_CORNER, NO_CORNER, NO_CORNER, NO_CORNER}, 0, ways, 0, 0, false};
    return n;
}

// Without a branch: which corners go is hard to foretell.
void Corners::remove_if(std::uint32_t n, bool is_gone) {
    FreeNumbers& free = free_[static_cast<std::size_t>(corners_[n].x / COLUMNS)];
    free.numbers[free.count] = n;  // there is room, since corner n is not free
    free.count += is_gone;
    held_ -= is_gone;
}

// Joins two corners whose ways are known.
void Corners::connect(std::uint32_t a, Way way, std::uint32_t b, Way back) {
    corners_[a].link[way] = 4 * b + WAYS_ON.way[corners_[b].ways][back];
    corners_[b].link[back] = 4 * a + WAYS_ON.way[corners_[a].ways][way];
}

PolygonTracer::PolygonTracer(std::int32_t width, bool ignores, std::int64_t ignored,
                             double tolerance)
    : width_(width),
      ignores_(ignores),
      ignored_(ignored),
      tolerance_(tolerance),
      corners_(width),
      simplifier_(corners_, width, tolerance),
      above_{{NOWHERE, 0, -1}, {NOWHERE, width, -1}},
      column_(static_cast<std::size_t>(width) + 1, NO_CORNER) {}

template <class Label>
void PolygonTracer::add(const Label* labels, std::int32_t rows, const double* weights,
                        const float* values) {
    for (std::int32_t n = 0; n < rows; ++n) {
        const Label* const row = labels + static_cast<std::int64_t>(n) * width_;
        below_.clear();
        const auto start_run = [&](std::int64_t x) {
            const std::int64_t label = row[x];
            below_.push_back({ignores_ && label == ignored_ ? NOWHERE : label,
                              static_cast<std::int32_t>(x), -1});
        };
        start_run(0);
        each_change(row, width_, start_run);
        below_.push_back({NOWHERE, width_, -1});
        sweep(false);
        settle_row(weights ? weights[n] : 1.0,
                   values ? values + static_cast<std::int64_t>(n) * width_ : nullptr);
        close_pieces();
        if (tolerance_ <= 0) {
            give_out();
        } else if (row_ - band_top_ >= BAND) {
            end_band();
        }
        std::swap(above_, below_);
        ++row_;
    }
}

void PolygonTracer::finish() {
    below_ = {{NOWHERE, 0, -1}, {NOWHERE, width_, -1}};
    sweep(true);
    close_pieces();
    if (tolerance_ > 0) {
        end_band();
    } else {
        give_out();
    }
    std::swap(above_, below_);
}

// Makes the corners between two rows, and finds which runs go on.
void PolygonTracer::sweep(bool is_last) {
    const bool is_edge = row_ == 0 || is_last;
    const bool ends_band = tolerance_ > 0 && (row_ - band_top_ >= BAND || is_edge);
    std::int64_t left_above = NOWHERE;
    std::int64_t left_below = NOWHERE;
    std::size_t next_above = 0;
    std::size_t next_below = 0;
    std::uint32_t open = NO_CORNER;  // the last corner on the border that is open to the right
    std::uint32_t run_start = NO_CORNER;
    for (std::int32_t x = 0;;) {
        const bool starts_above = above_[next_above].start == x;
        const bool starts_below = below_[next_below].start == x;
        const std::int64_t right_above = starts_above ? above_[next_above].label : left_above;
        const std::int64_t right_below = starts_below ? below_[next_below].label : left_below;
        const std::uint8_t ways = static_cast<std::uint8_t>(
            (left_above != right_above) << UP | (right_above != right_below) << RIGHT |
            (left_below != right_below) << DOWN | (left_above != left_below) << LEFT);
        std::uint32_t corner = NO_CORNER;
        const bool is_straight = ways == (1 << UP | 1 << DOWN);
        if (ways != 0 && ways != (1 << LEFT | 1 << RIGHT) && (!is_straight || ends_band)) {
            // Who is on the left of one that goes up, right, down or left.
            const std::int64_t around[4] = {left_above, right_above, right_below, left_below};
            corner = corner_at(x, ways, around, is_edge || ends_band || x == 0 || x == width_);
            // Without branches, since turns are hard to foretell. A corner that is passed on
            // where no edge leaves it is one that nobody will ask for.
            corners_.connect(corner, UP, ways & 1 << UP ? column_[x] : Corners::NONE, DOWN);
            corners_.connect(corner, LEFT, ways & 1 << LEFT ? open : Corners::NONE, RIGHT);
            column_[x] = corner;
            open = corner;
        }
        if (starts_above) ++next_above;
        if (starts_below) {
            if (next_below > 0) end_run(below_[next_below - 1], run_start);
            run_start = corner;
            ++next_below;
        }
        if (x == width_) break;
        const LabelRun& above = above_[next_above - 1];
        if (right_above == right_below) {
            if (right_above != NOWHERE) meet(above, below_[next_below - 1]);
        } else if (ways == (1 << RIGHT | 1 << DOWN) && right_above != NOWHERE) {
            add_seed(root_of(above.piece), 4 * corner + RIGHT);  // perhaps the top of a hole
        }
        left_above = right_above;
        left_below = right_below;
        x = std::min(above_[next_above].start, below_[next_below].start);
    }
}

std::uint32_t PolygonTracer::corner_at(std::int32_t x, std::uint8_t ways,
                                      const std::int64_t (&around)[4], bool is_forced) {
    const std::uint32_t n = corners_.add(x, row_, ways);
    Corner& corner = corners_[n];
    const unsigned outside = (around[0] == NOWHERE) << 0 | (around[1] == NOWHERE) << 1 |
                             (around[2] == NOWHERE) << 2 | (around[3] == NOWHERE) << 3;
    corner.walked = static_cast<std::uint8_t>(ways & outside);
    if (tolerance_ > 0) {
        const int edges = (ways & 1) + (ways >> 1 & 1) + (ways >> 2 & 1) + (ways >> 3);
        corner.is_fixed = edges > 2 || is_forced;
        band_corners_.push_back(n);
    }
    return n;
}

void PolygonTracer::end_run(LabelRun& run, std::uint32_t start_corner) {
    if (run.label == NOWHERE || run.piece >= 0) return;
    const Piece piece{run.label, 0, 0.0, 0.0, run.start, row_, row_, -1, -1, -1};
    if (free_pieces_.empty()) {
        run.piece = static_cast<std::int32_t>(pieces_.size());
        pieces_.push_back(piece);
    } else {
        run.piece = free_pieces_.back();
        free_pieces_.pop_back();
        pieces_[run.piece] = piece;
    }
    pieces_[run.piece].parent = run.piece;
    add_seed(run.piece, 4 * start_corner + DOWN);
}

void PolygonTracer::meet(const LabelRun& above, LabelRun& below) {
    const std::int32_t piece = root_of(above.piece);
    below.piece = below.piece < 0 ? piece : join(root_of(below.piece), piece);
}

std::int32_t PolygonTracer::root_of(std::int32_t piece) const {
    while (pieces_[piece].parent != piece) piece = pieces_[piece].parent;
    return piece;
}

// The piece whose first pixel comes first takes the other in.
std::int32_t PolygonTracer::join(std::int32_t a, std::int32_t b) {
    if (a == b) return a;
    if (is_before({pieces_[b].x, pieces_[b].y}, {pieces_[a].x, pieces_[a].y})) std::swap(a, b);
    Piece& first = pieces_[a];
    Piece& second = pieces_[b];
    first.area += second.area;
    first.weight += second.weight;
    first.value += second.value;
    first.last_row = std::max(first.last_row, second.last_row);
    seeds_[first.last_seed].next = second.first_seed;
    first.last_seed = second.last_seed;
    second.parent = a;
    joined_.push_back(b);
    return a;
}

void PolygonTracer::add_seed(std::int32_t piece, std::uint32_t edge) {
    std::int32_t n;
    if (free_seeds_.empty()) {
        n = static_cast<std::int32_t>(seeds_.size());
        seeds_.push_back({edge, -1});
    } else {
        n = free_seeds_.back();
        free_seeds_.pop_back();
        seeds_[n] = {edge, -1};
    }
    Piece& owner = pieces_[piece];
    if (owner.first_seed < 0) {
        owner.first_seed = n;
    } else {
        seeds_[owner.last_seed].next = n;
    }
    owner.last_seed = n;
    if (tolerance_ > 0) band_seeds_.push_back(n);
}

void PolygonTracer::settle_row(double weight, const float* values) {
    for (std::size_t n = 0; n + 1 < below_.size(); ++n) {
        LabelRun& run = below_[n];
        if (run.label == NOWHERE) continue;
        run.piece = root_of(run.piece);
        Piece& piece = pieces_[run.piece];
        const std::int32_t end = below_[n + 1].start;
        piece.area += end - run.start;
        piece.weight += weight * (end - run.start);
        piece.last_row = row_;
        if (values == nullptr) continue;
        for (std::int32_t x = run.start; x < end; ++x) piece.value += values[x];
    }
}

// A piece of the row above that no run of the row below has gone on with is whole.
void PolygonTracer::close_pieces() {
    for (const LabelRun& run : above_) {
        if (run.label == NOWHERE) continue;
        const std::int32_t n = root_of(run.piece);
        if (pieces_[n].last_row >= row_) continue;
        pieces_[n].last_row = std::numeric_limits<std::int32_t>::max();  // is met once
        closed_.push_back(n);
    }
    free_pieces_.insert(free_pieces_.end(), joined_.begin(), joined_.end());
    joined_.clear();
}

void PolygonTracer::end_band() {
    simplifier_.simplify(band_top_, row_, band_starts_, band_corners_, removed_);
    for (const std::int32_t n : band_seeds_) {
        const std::uint32_t edge = seeds_[n].edge;
        if (corners_[edge / 4].ways == 0) seeds_[n].edge = corners_[edge / 4].link[edge % 4];
    }
    for (const std::uint32_t n : removed_) corners_.remove_if(n, true);
    band_starts_.clear();
    for (const std::uint32_t n : band_corners_) {
        if (corners_[n].y == row_ && corners_[n].ways & 1 << DOWN) band_starts_.push_back(n);
    }
    removed_.clear();
    band_corners_.clear();
    band_seeds_.clear();
    band_top_ = row_;
    give_out();
}

void PolygonTracer::give_out() {
    for (const std::int32_t n : closed_) give_out(n);
    closed_.clear();
}

void PolygonTracer::give_out(std::int32_t n) {
    const Piece& piece = pieces_[n];
    points_.clear();
    starts_.assign(1, 0);
    for (std::int32_t seed = piece.first_seed; seed >= 0; seed = seeds_[seed].next) {
        walk(seeds_[seed].edge);
        free_seeds_.push_back(seed);
    }
    holes_.clear();
    Polygon polygon{piece.label, piece.area, piece.weight, piece.value, piece.x, piece.y,
                    out_.rings.size(), 0};
    const auto take_ring = [&](std::size_t ring) {
        const std::size_t begin = out_.points.size();
        out_.points.insert(out_.points.end(), points_.begin() + starts_[ring],
                           points_.begin() + starts_[ring + 1]);
        out_.rings.push_back({begin, out_.points.size()});
    };
    for (std::size_t ring = 0; ring + 1 < starts_.size(); ++ring) {
        const Point* const points = points_.data() + starts_[ring];
        const std::size_t count = starts_[ring + 1] - starts_[ring];
        std::int64_t area = 0;  // twice, and below 0 if counter-clockwise as seen
        for (std::size_t i = 1; i + 1 < count; ++i) {
            const std::int64_t x1 = std::int64_t{points[i].x} - points[0].x;
            const std::int64_t y1 = std::int64_t{points[i].y} - points[0].y;
            const std::int64_t x2 = std::int64_t{points[i + 1].x} - points[0].x;
            const std::int64_t y2 = std::int64_t{points[i + 1].y} - points[0].y;
            area += x1 * y2 - x2 * y1;
        }
        if (area < 0) {
            take_ring(ring);
        } else {
            holes_.push_back(ring);
        }
    }
    const auto is_earlier = [&](std::size_t a, std::size_t b) {
        const Point* const one = points_.data() + starts_[a];
        const Point* const other = points_.data() + starts_[b];
        if (is_before(one[0], other[0]) || is_before(other[0], one[0])) {
            return is_before(one[0], other[0]);
        }
        return is_before(one[1], other[1]);
    };
    std::sort(holes_.begin(), holes_.end(), is_earlier);
    for (const std::size_t ring : holes_) take_ring(ring);
    polygon.end_ring = out_.rings.size();
    out_.polygons.push_back(polygon);
    free_pieces_.push_back(n);
}

// Walks the ring that leaves a corner by a way, and keeps its points. Where four edges meet, the
// walk turns left, as 4 neighbours want; if it comes there twice, the region is on both sides of
// the corner, and what lies between the two visits is a ring of its own (rings touch there, none
// touches itself).
void PolygonTracer::walk(std::uint32_t edge) {
    if (corners_[edge / 4].walked & 1 << edge % 4) return;
    const bool keeps_all = tolerance_ >= 0;
    ring_.clear();
    std::uint32_t here = edge;
    bool is_kept = true;
    do {
        Corner& corner = corners_[here / 4];
        const std::uint32_t way = here % 4;
        if (is_kept) {
            const std::size_t place = static_cast<std::size_t>(corner.place);
            if (corner.ways == 15 && place < ring_.size() && ring_[place].x == corner.x &&
                ring_[place].y == corner.y) {
                end_ring(place);
                ring_.resize(place + 1);
            } else {
                corner.place = static_cast<std::int32_t>(ring_.size());
                ring_.push_back({corner.x, corner.y});
            }
        }
        corner.walked |= static_cast<std::uint8_t>(1 << way);
        corners_.remove_if(here / 4, corner.walked == corner.ways);
        here = corner.link[way];
        is_kept = keeps_all || here % 4 != way;  // else it goes straight on
    } while (here != edge);
    end_ring(0);
}

// Keeps the points from `first` on as a ring that starts with its highest point, the leftmost if
// there are several.
void PolygonTracer::end_ring(std::size_t first) {
    const std::size_t start = points_.size();
    points_.insert(points_.end(), ring_.begin() + first, ring_.end());
    const auto begin = points_.begin() + start;
    std::rotate(begin, std::min_element(begin, points_.end(), is_before), points_.end());
    starts_.push_back(points_.size());
}

Polygons PolygonTracer::take(bool by_place) {
    Polygons out;
    std::swap(out, out_);
    if (by_place) {
        std::sort(out.polygons.begin(), out.polygons.end(),
                  [](const Polygon& a, const Polygon& b) {
                      return is_before({a.x, a.y}, {b.x, b.y});
                  });
    }
    return out;
}

template void PolygonTracer::add(const std::uint8_t*, std::int32_t, const double*, const float*);
template void PolygonTracer::add(const std::uint16_t*, std::int32_t, const double*, const float*);
template void PolygonTracer::add(const std::int32_t*, std::int32_t, const double*, const float*);

}  // namespace pixelwise
