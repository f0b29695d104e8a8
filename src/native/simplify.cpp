// Arcs (borders between corners where regions meet) with fewer points, after Visvalingam and
// Whyatt (1993): the point whose triangle with its neighbours is smallest goes first. A point p
// between a and c may go if all points of the arc between a and c lie within the tolerance of the
// segment ac, and if no other point lies in the triangle apc or on its sides. Then nothing can
// cross: a segment that crosses ac would have to leave the triangle through ap or pc, which it did
// not cross before, or to end in it. "Other point" is any of the other arcs as they were before,
// so the order of arcs does not matter, nor do arcs of other bands. All of it in whole numbers.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <queue>
#include <utility>

#include "polygons.hpp"

namespace pixelwise {

namespace {

std::int64_t doubled_area(Point a, Point b, Point c) {
    return std::abs((std::int64_t{b.x} - a.x) * (std::int64_t{c.y} - a.y) -
                    (std::int64_t{c.x} - a.x) * (std::int64_t{b.y} - a.y));
}

std::int64_t floor_divided(std::int64_t a, std::int64_t b) {  // b > 0
    return a / b - (a % b < 0);
}

// The square of the distance of p from the segment ac.
double square_distance(Point p, Point a, Point c) {
    const std::int64_t x = std::int64_t{c.x} - a.x;
    const std::int64_t y = std::int64_t{c.y} - a.y;
    const std::int64_t px = std::int64_t{p.x} - a.x;
    const std::int64_t py = std::int64_t{p.y} - a.y;
    const std::int64_t along = px * x + py * y;
    const std::int64_t length = x * x + y * y;
    if (along <= 0) return static_cast<double>(px * px + py * py);
    if (along >= length) {
        return static_cast<double>((px - x) * (px - x) + (py - y) * (py - y));
    }
    const double across = static_cast<double>(px * y - py * x);
    return across * across / static_cast<double>(length);
}

}  // namespace

Point BandSimplifier::point_of(const Step& step) const {
    const Corner& corner = corners_[step.corner];
    return {corner.x, corner.y};
}

void BandSimplifier::mark(std::int32_t x, std::int32_t y, bool value) {
    std::uint64_t& word = marks_[static_cast<std::size_t>(y - top_) * words_ + x / 64];
    const std::uint64_t bit = std::uint64_t{1} << x % 64;
    word = value ? word | bit : word & ~bit;
}

void BandSimplifier::simplify(std::int32_t top, std::int32_t bottom,
                              const std::vector<std::uint32_t>& starts,
                              const std::vector<std::uint32_t>& inside,
                              std::vector<std::uint32_t>& removed) {
    top_ = top;
    words_ = static_cast<std::size_t>(width_) / 64 + 1;
    marks_.assign(words_ * static_cast<std::size_t>(bottom - top + 1), 0);
    // Those on the top row are in no triangle but as its corner: no arc becomes a line along it.
    for (const std::uint32_t n : inside) mark(corners_[n].x, corners_[n].y, true);
    steps_.clear();
    arcs_.clear();
    for (const std::uint32_t n : starts) collect(n, DOWN);
    for (const std::uint32_t n : inside) {
        if (!corners_[n].is_fixed) continue;
        for (int way = 0; way < 4; ++way) collect(n, way);
    }
    for (const std::uint32_t n : inside) {
        if (!corners_[n].is_fixed && corners_[n].seen == 0) collect_loop(n);
    }
    keep_apart(top, bottom);
    for (const Arc& arc : arcs_) simplify_arc(arc, removed);
}

// Follows a border from a corner that stays to the next one.
void BandSimplifier::collect(std::uint32_t n, int way) {
    const Corner& start = corners_[n];
    // The border below the band's last row has no other end yet.
    if (!(start.ways & 1 << way) || start.link[way] == NO_CORNER || start.seen & 1 << way) return;
    const std::size_t first = steps_.size();
    std::int8_t in = -1;
    std::int8_t out = static_cast<std::int8_t>(way);
    while (true) {
        Corner& corner = corners_[n];
        steps_.push_back({n, in, out});
        if (out < 0) break;
        corner.seen |= static_cast<std::uint8_t>(1 << out);
        n = corner.link[out] / 4;
        in = static_cast<std::int8_t>((out + 2) % 4);
        Corner& next = corners_[n];
        next.seen |= static_cast<std::uint8_t>(1 << in);
        out = -1;
        for (int other = 0; !next.is_fixed && other < 4; ++other) {
            if (other != in && next.ways & 1 << other) out = static_cast<std::int8_t>(other);
        }
    }
    arcs_.push_back({first, steps_.size(), false, 0});
}

// Follows a border on which no corner has to stay; its first corner is highest, then leftmost.
void BandSimplifier::collect_loop(std::uint32_t n) {
    const std::size_t first = steps_.size();
    std::int8_t in = DOWN;
    std::int8_t out = RIGHT;
    while (corners_[n].seen == 0) {
        steps_.push_back({n, in, out});
        corners_[n].seen = corners_[n].ways;
        n = corners_[n].link[out] / 4;
        in = static_cast<std::int8_t>((out + 2) % 4);
        for (int other = 0; other < 4; ++other) {
            if (other != in && corners_[n].ways & 1 << other) {
                out = static_cast<std::int8_t>(other);
            }
        }
    }
    arcs_.push_back({first, steps_.size(), true, 0});
}

// Says which arcs must not become a straight line, since another one may be that line.
void BandSimplifier::keep_apart(std::int32_t top, std::int32_t bottom) {
    using Ends = std::pair<std::pair<std::uint32_t, std::uint32_t>, std::size_t>;
    std::vector<Ends> ends;
    for (std::size_t n = 0; n < arcs_.size(); ++n) {
        Arc& arc = arcs_[n];
        if (arc.is_loop) {
            arc.least = 3;
            continue;
        }
        const std::uint32_t a = steps_[arc.first].corner;
        const std::uint32_t b = steps_[arc.end - 1].corner;
        const std::int32_t y = corners_[a].y;
        if (a == b) {
            arc.least = 2;
        } else if (y == corners_[b].y && (y == top || y == bottom)) {
            arc.least = 1;  // the line may lie in the other band
        }
        ends.push_back({std::minmax(a, b), n});
    }
    std::sort(ends.begin(), ends.end());
    for (std::size_t i = 1; i < ends.size(); ++i) {
        if (ends[i].first != ends[i - 1].first) continue;
        for (const std::size_t n : {ends[i - 1].second, ends[i].second}) {
            arcs_[n].least = std::max(arcs_[n].least, 1);
        }
    }
}

void BandSimplifier::simplify_arc(const Arc& arc, std::vector<std::uint32_t>& removed) {
    const std::int32_t count = static_cast<std::int32_t>(arc.end - arc.first);
    std::int32_t left = arc.is_loop ? count : count - 2;
    if (left <= arc.least) return;
    const Step* const steps = steps_.data() + arc.first;
    before_.resize(static_cast<std::size_t>(count));
    after_.resize(static_cast<std::size_t>(count));
    cost_.assign(static_cast<std::size_t>(count), -1);
    for (std::int32_t i = 0; i < count; ++i) {
        before_[i] = (i + count - 1) % count;
        after_[i] = (i + 1) % count;
    }
    using Candidate = std::pair<std::int64_t, std::int32_t>;
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<Candidate>> queue;
    const auto consider = [&](std::int32_t i) {
        if (!arc.is_loop && (i == 0 || i == count - 1)) return;
        cost_[i] = doubled_area(point_of(steps[before_[i]]), point_of(steps[i]),
                                point_of(steps[after_[i]]));
        queue.push({cost_[i], i});
    };
    for (std::int32_t i = 0; i < count; ++i) consider(i);
    while (!queue.empty() && left > arc.least) {
        const auto [cost, p] = queue.top();
        queue.pop();
        if (cost_[p] != cost || !may_go(steps, p, count)) continue;
        const Point point = point_of(steps[p]);
        mark(point.x, point.y, false);
        cost_[p] = -1;
        after_[before_[p]] = after_[p];
        before_[after_[p]] = before_[p];
        --left;
        consider(before_[p]);
        consider(after_[p]);
    }
    relink(arc, removed);
}

bool BandSimplifier::may_go(const Step* steps, std::int32_t p, std::int32_t count) {
    const Point a = point_of(steps[before_[p]]);
    const Point c = point_of(steps[after_[p]]);
    const double most = tolerance_ * tolerance_;
    if (square_distance(point_of(steps[p]), a, c) > most) return false;
    for (std::int32_t i = (before_[p] + 1) % count; i != after_[p]; i = (i + 1) % count) {
        if (square_distance(point_of(steps[i]), a, c) > most) return false;
    }
    return is_free(a, point_of(steps[p]), c);
}

// Is there no point in a triangle but its corners?
bool BandSimplifier::is_free(Point a, Point b, Point c) const {
    const Point corners[3] = {a, b, c};
    const std::int32_t first = std::min({a.y, b.y, c.y});
    const std::int32_t last = std::max({a.y, b.y, c.y});
    for (std::int64_t y = first; y <= last; ++y) {
        std::int64_t low = width_;
        std::int64_t high = 0;
        for (int side = 0; side < 3; ++side) {
            Point upper = corners[side];
            Point lower = corners[(side + 1) % 3];
            if (upper.y > lower.y) std::swap(upper, lower);
            if (y < upper.y || y > lower.y) continue;
            if (upper.y == lower.y) {
                low = std::min<std::int64_t>(low, std::min(upper.x, lower.x));
                high = std::max<std::int64_t>(high, std::max(upper.x, lower.x));
                continue;
            }
            const std::int64_t across =
                (std::int64_t{lower.x} - upper.x) * (y - upper.y);
            const std::int64_t down = std::int64_t{lower.y} - upper.y;
            low = std::min(low, upper.x - floor_divided(-across, down));
            high = std::max(high, upper.x + floor_divided(across, down));
        }
        if (!is_row_free(y, low, high, corners)) return false;
    }
    return true;
}

bool BandSimplifier::is_row_free(std::int64_t y, std::int64_t low, std::int64_t high,
                                 const Point* but) const {
    const std::uint64_t* const row = marks_.data() + static_cast<std::size_t>(y - top_) * words_;
    for (std::int64_t word = low / 64; word <= high / 64; ++word) {
        std::uint64_t bits = row[word];
        if (bits == 0) continue;
        if (word == low / 64) bits &= ~std::uint64_t{0} << low % 64;
        if (word == high / 64) bits &= ~std::uint64_t{0} >> (63 - high % 64);
        for (int i = 0; i < 3; ++i) {
            if (but[i].y == y && but[i].x / 64 == word) {
                bits &= ~(std::uint64_t{1} << but[i].x % 64);
            }
        }
        if (bits != 0) return false;
    }
    return true;
}

// Joins the corners that are left; those that go are obstacles to the other arcs all the same.
void BandSimplifier::relink(const Arc& arc, std::vector<std::uint32_t>& removed) {
    const Step* const steps = steps_.data() + arc.first;
    const std::int32_t count = static_cast<std::int32_t>(arc.end - arc.first);
    const auto goes = [&](std::int32_t i) {
        return cost_[i] < 0 && (arc.is_loop || (i > 0 && i < count - 1));
    };
    std::int32_t kept = 0;
    while (goes(kept)) ++kept;
    const std::int32_t first = kept;
    do {
        const std::int32_t next = after_[kept];
        const Step& from = steps[kept];
        const Step& to = steps[next];
        for (std::int32_t i = (kept + 1) % count; i != next; i = (i + 1) % count) {
            Corner& corner = corners_[steps[i].corner];
            mark(corner.x, corner.y, true);
            corner.ways = 0;
            corner.link[steps[i].out] = 4 * from.corner + from.out;
            corner.link[steps[i].in] = 4 * to.corner + to.in;
            removed.push_back(steps[i].corner);
        }
        corners_.connect(from.corner, static_cast<Way>(from.out), to.corner,
                         static_cast<Way>(to.in));
        kept = next;
    } while (kept != first && (arc.is_loop || kept != count - 1));
}

}  // namespace pixelwise
