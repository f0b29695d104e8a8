// Each corner of the pixel grid gets a byte that says which edges start there. A ring is followed
// edge by edge, with its region on the left and without a branch, since turns are hard to foretell.
// The raster-first corner of a ring is an upper left one, so a scan over these finds every ring
// once, and an outline before its holes.
#include "outlines.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pixelwise {

namespace {

// Bits of a corner: 0 to 3 for the edges that start there, by their ways; those of rings that may
// start there have bits for whether they were followed, and whether their polygon is written down.
constexpr unsigned EDGES = 15;
constexpr unsigned UPPER_LEFT = 1u << RIGHT | 1u << DOWN;
constexpr unsigned KNOWS_RIGHT = 1u << 4;
constexpr unsigned FOLLOWED_RIGHT = 1u << 5;
constexpr unsigned FOLLOWED_DOWN = 1u << 6;
constexpr unsigned KNOWS_DOWN = 1u << 7;
constexpr unsigned FOLLOWED[4] = {0, FOLLOWED_RIGHT, FOLLOWED_DOWN, 0};
constexpr unsigned KNOWS[4] = {0, KNOWS_RIGHT, KNOWS_DOWN, 0};
constexpr std::int32_t ALONG_X[4] = {0, 1, 0, -1};
constexpr std::int32_t ALONG_Y[4] = {-1, 0, 1, 0};

// By 4 × corner + way. The way on from a corner that a way led to: to the left as long as there is
// an edge. And for a way that leaves a corner, the way towards the corner before.
struct Turns {
    std::uint8_t on[1024];
    std::uint8_t back[1024];
    constexpr Turns() : on(), back() {
        for (unsigned n = 0; n < 1024; ++n) {
            const unsigned edges = n / 4 & EDGES;
            if (edges == 0) continue;
            unsigned out = (n + 3) % 4;
            while (!(edges & 1u << out)) out = (out + 1) % 4;
            on[n] = static_cast<std::uint8_t>(out);
            unsigned in = (n + 3) % 4;
            while (!(edges & 1u << in)) in = (in + 3) % 4;
            back[n] = static_cast<std::uint8_t>(in);
        }
    }
};
constexpr Turns TURNS;

template <class Label>
class Follower {
   public:
    Follower(const Label* labels, std::int64_t height, std::int64_t width, bool ignores,
             std::int64_t ignored)
        : labels_(labels), height_(height), width_(width), stride_(width + 1), ignores_(ignores),
          ignored_(ignored),
          corners_(new std::uint8_t[static_cast<std::size_t>((height + 1) * stride_)]),
          steps_{-stride_, 1, stride_, -1} {
        for (unsigned n = 0; n < 1024; ++n) steps_on_[n] = steps_[TURNS.on[n]];
    }

    Polygons trace();

   private:
    std::int64_t label_at(std::int64_t x, std::int64_t y) const {
        if (x < 0 || y < 0 || x >= width_ || y >= height_) return NOWHERE;
        const std::int64_t label = labels_[y * width_ + x];
        return ignores_ && label == ignored_ ? NOWHERE : label;
    }
    std::uint8_t edges_at(std::int64_t x, std::int64_t y) const;
    void find_corners();
    void start_at(std::int64_t x, std::int64_t y);
    void follow(std::int64_t x, std::int64_t y, unsigned first_way, std::int32_t polygon);
    void keep(Point at);
    bool is_on_both_sides(Point at, unsigned way) const;
    std::size_t crossed(std::int64_t corner, std::size_t first, std::size_t count, Point at);
    void end_ring(std::size_t begin, std::int32_t polygon);
    std::int32_t owner_of_hole(std::int64_t x, std::int64_t y);
    void know(std::int64_t n, unsigned way, std::int32_t polygon);
    std::int32_t owner_of_edge(std::int64_t n, unsigned way) const;
    void sort_rings();

    const Label* labels_;
    std::int64_t height_;
    std::int64_t width_;
    std::int64_t stride_;
    bool ignores_;
    std::int64_t ignored_;
    std::unique_ptr<std::uint8_t[]> corners_;
    std::int64_t steps_[4];
    std::int64_t steps_on_[1024];

    Polygons out_;
    std::size_t count_ = 0;                  // of the points that are in use
    std::vector<std::int32_t> owners_;       // the polygon of each ring
    std::vector<std::vector<Point>> loops_;  // of the ring that is being followed
    std::unordered_map<std::int64_t, std::size_t> places_;  // in points, of corners met twice
    std::unordered_map<std::int64_t, std::int32_t> owner_of_edge_;  // by 4 × corner + way
};

template <class Label>
std::uint8_t Follower<Label>::edges_at(std::int64_t x, std::int64_t y) const {
    const std::int64_t left_above = label_at(x - 1, y - 1);
    const std::int64_t right_above = label_at(x, y - 1);
    const std::int64_t left_below = label_at(x - 1, y);
    const std::int64_t right_below = label_at(x, y);
    return static_cast<std::uint8_t>(
        (left_above != right_above) << UP | (right_above != right_below) << RIGHT |
        (left_below != right_below) << DOWN | (left_above != left_below) << LEFT);
}

template <class Label>
void Follower<Label>::find_corners() {
    const std::int64_t width = width_;  // bytes that are written might else change the member
    for (std::int64_t y = 0; y <= height_; ++y) {
        std::uint8_t* const out = corners_.get() + y * stride_;
        const bool is_inside = y > 0 && y < height_;
        for (std::int64_t x = 0; x <= width; x += is_inside ? width : 1) out[x] = edges_at(x, y);
        if (!is_inside) continue;
        const Label* const above = labels_ + (y - 1) * width;
        const Label* const below = above + width;
        for (std::int64_t x = 1; x < width; ++x) {
            out[x] = static_cast<std::uint8_t>(
                (above[x - 1] != above[x]) << UP | (above[x] != below[x]) << RIGHT |
                (below[x - 1] != below[x]) << DOWN | (above[x - 1] != below[x - 1]) << LEFT);
        }
    }
}

// A corner where a ring may start that nobody has followed, of one corner or, in a wider word, of
// several at a time: bit 0 of each.
template <class Corners>
Corners may_start(Corners corners) {
    const Corners outline = static_cast<Corners>(~(corners >> 6));
    const Corners hole = static_cast<Corners>(~(corners >> UP | corners >> LEFT | corners >> 5));
    return static_cast<Corners>(corners >> RIGHT & corners >> DOWN & (outline | hole));
}

template <class Label>
Polygons Follower<Label>::trace() {
    find_corners();
    constexpr std::int64_t STEP = 32;
    const std::int64_t width = width_;
    out_.points.resize(static_cast<std::size_t>((height_ + 1) * stride_ / 4 + STEP));
    for (std::int64_t y = 0; y < height_; ++y) {
        const std::uint8_t* const row = corners_.get() + y * stride_;
        std::int64_t x = 0;
        for (; x + STEP <= width; x += STEP) {
            std::uint8_t any = 0;
            for (std::int64_t n = x; n < x + STEP; ++n) any |= may_start(row[n]);
            if (!(any & 1)) continue;
            for (std::int64_t n = x; n < x + STEP; n += 8) {
                std::uint64_t eight;
                std::memcpy(&eight, row + n, 8);
                if (!(may_start(eight) & 0x0101010101010101)) continue;
                for (std::int64_t i = n; i < n + 8; ++i) {
                    if (may_start(row[i]) & 1) start_at(i, y);
                }
            }
        }
        for (; x < width; ++x) {
            if (may_start(row[x]) & 1) start_at(x, y);
        }
    }
    sort_rings();
    out_.points.resize(count_);
    return std::move(out_);
}

template <class Label>
void Follower<Label>::start_at(std::int64_t x, std::int64_t y) {
    const std::int64_t n = y * stride_ + x;
    if ((corners_[n] & EDGES) == UPPER_LEFT && !(corners_[n] & FOLLOWED_RIGHT) &&
        label_at(x, y - 1) != NOWHERE) {
        const std::int32_t owner = owner_of_hole(x, y);
        know(n, RIGHT, owner);
        follow(x, y, RIGHT, owner);
    }
    if (!(corners_[n] & FOLLOWED_DOWN) && label_at(x, y) != NOWHERE) {
        out_.polygons.push_back({label_at(x, y), 0, 0.0, 0.0, static_cast<std::int32_t>(x),
                                 static_cast<std::int32_t>(y), 0, 0});
        corners_[n] |= KNOWS_DOWN;
        follow(x, y, DOWN, static_cast<std::int32_t>(out_.polygons.size() - 1));
    }
}

// Follows the ring that leaves a corner by a way, and keeps the corners where it turns.
template <class Label>
void Follower<Label>::follow(std::int64_t x, std::int64_t y, unsigned first_way,
                             std::int32_t polygon) {
    std::uint8_t* const start = corners_.get() + y * stride_ + x;
    std::uint8_t* corner = start;
    Point at{static_cast<std::int32_t>(x), static_cast<std::int32_t>(y)};
    const std::size_t first = count_;
    std::int64_t area = 0;
    unsigned way = first_way;
    keep(at);
    corner += steps_[way];
    // Members might be changed by the bytes that are written, and would be read again and again.
    Point* points = out_.points.data();
    std::size_t count = count_;
    std::size_t room = out_.points.size();
    for (;;) {
        at.x += ALONG_X[way];
        at.y += ALONG_Y[way];
        area -= static_cast<std::int64_t>(at.x) * ALONG_Y[way];
        const unsigned turn = 4u * *corner + way;
        const unsigned out = TURNS.on[turn];
        *corner = static_cast<std::uint8_t>(*corner | FOLLOWED[out]);
        if (corner == start && out == first_way) break;
        if (count == room) {
            out_.points.resize(2 * room);
            points = out_.points.data();
            room = out_.points.size();
        }
        if ((turn / 4 & EDGES) == EDGES && is_on_both_sides(at, way)) {
            count = crossed(corner - corners_.get(), first, count, at);
        } else {
            points[count] = at;
            count += out != way;
        }
        corner += steps_on_[turn];
        way = out;
    }
    count_ = count;
    out_.polygons[polygon].area += area;
    out_.polygons[polygon].weight += static_cast<double>(area);
    end_ring(first, polygon);
    for (const std::vector<Point>& loop : loops_) {
        const std::size_t begin = count_;
        for (const Point& point : loop) keep(point);
        end_ring(begin, polygon);
    }
    loops_.clear();
}

template <class Label>
void Follower<Label>::keep(Point at) {
    if (count_ == out_.points.size()) out_.points.resize(2 * count_);
    out_.points[count_++] = at;
}

// At a corner of four edges that a way leads to: is the label left of it across the corner, too?
template <class Label>
bool Follower<Label>::is_on_both_sides(Point at, unsigned way) const {
    const Label* const below = labels_ + at.y * width_ + at.x;
    const Label* const above = below - width_;
    return way % 2 ? above[-1] == below[0] : above[0] == below[-1];
}

// Where a ring may come twice: what lies between the two visits is a ring of its own, since no ring
// may touch itself. Returns how many points there are now.
template <class Label>
std::size_t Follower<Label>::crossed(std::int64_t corner, std::size_t first, std::size_t count,
                                     Point at) {
    const auto points = out_.points.begin();
    std::size_t& place = places_[corner];
    if (place >= first && place < count && points[place].x == at.x && points[place].y == at.y) {
        loops_.emplace_back(points + place, points + count);
        return place + 1;
    }
    place = count;
    points[count] = at;
    return count + 1;
}

// The points from `begin` on are a ring, which is to start with its highest point, the leftmost if
// there are several.
template <class Label>
void Follower<Label>::end_ring(std::size_t begin, std::int32_t polygon) {
    const auto first = out_.points.begin() + begin;
    const auto end = out_.points.begin() + count_;
    std::rotate(first, std::min_element(first, end, is_before), end);
    out_.rings.push_back({begin, count_});
    owners_.push_back(polygon);
}

// The polygon whose hole has (x, y) for its upper left corner: the one of the pixel left of it, and
// so of the left border of that pixel's run. That ring was followed already; it is traced back to
// an edge whose polygon is known.
template <class Label>
std::int32_t Follower<Label>::owner_of_hole(std::int64_t x, std::int64_t y) {
    std::int64_t n = y * stride_ + x - 1;
    while (!(corners_[n] & 1u << DOWN)) --n;
    const std::int64_t border = n;
    unsigned way = DOWN;
    while (!(corners_[n] & KNOWS[way])) {
        const unsigned back = TURNS.back[4 * corners_[n] + way];
        n += steps_[back];
        way = (back + 2) % 4;
    }
    const std::int32_t owner = owner_of_edge(n, way);
    know(border, DOWN, owner);
    return owner;
}

template <class Label>
void Follower<Label>::know(std::int64_t n, unsigned way, std::int32_t polygon) {
    corners_[n] = static_cast<std::uint8_t>(corners_[n] | KNOWS[way]);
    owner_of_edge_.emplace(4 * n + way, polygon);
}

// The polygon of an edge that is known: one that was written down, or the first of an outline.
template <class Label>
std::int32_t Follower<Label>::owner_of_edge(std::int64_t n, unsigned way) const {
    const auto known = owner_of_edge_.find(4 * n + way);
    if (known != owner_of_edge_.end()) return known->second;
    const Point at{static_cast<std::int32_t>(n % stride_), static_cast<std::int32_t>(n / stride_)};
    const auto found =
        std::lower_bound(out_.polygons.begin(), out_.polygons.end(), at,
                         [](const Polygon& polygon, Point point) {
                             return is_before({polygon.x, polygon.y}, point);
                         });
    return static_cast<std::int32_t>(found - out_.polygons.begin());
}

// Puts the rings of a polygon together: its outline, which was found first, then its holes.
template <class Label>
void Follower<Label>::sort_rings() {
    std::vector<Polygon>& polygons = out_.polygons;
    for (const std::int32_t owner : owners_) ++polygons[owner].end_ring;
    std::size_t rings = 0;
    for (Polygon& polygon : polygons) {
        polygon.first_ring = rings;
        rings += polygon.end_ring;
        polygon.end_ring = polygon.first_ring;
    }
    std::vector<Ring> sorted(rings);
    for (std::size_t n = 0; n < rings; ++n) {
        sorted[polygons[owners_[n]].end_ring++] = out_.rings[n];
    }
    const auto is_earlier = [&](const Ring& a, const Ring& b) {
        const Point* const one = out_.points.data() + a.begin;
        const Point* const other = out_.points.data() + b.begin;
        if (is_before(one[0], other[0]) || is_before(other[0], one[0])) {
            return is_before(one[0], other[0]);
        }
        return is_before(one[1], other[1]);
    };
    for (const Polygon& polygon : polygons) {
        std::sort(sorted.begin() + polygon.first_ring + 1, sorted.begin() + polygon.end_ring,
                  is_earlier);
    }
    out_.rings = std::move(sorted);
}

}  // namespace

template <class Label>
Polygons trace_outlines(const Label* labels, std::int64_t height, std::int64_t width, bool ignores,
                        std::int64_t ignored) {
    return Follower<Label>(labels, height, width, ignores, ignored).trace();
}

template Polygons trace_outlines(const std::uint8_t*, std::int64_t, std::int64_t, bool,
                                 std::int64_t);
template Polygons trace_outlines(const std::uint16_t*, std::int64_t, std::int64_t, bool,
                                 std::int64_t);
template Polygons trace_outlines(const std::int32_t*, std::int64_t, std::int64_t, bool,
                                 std::int64_t);

}  // namespace pixelwise
