// Outlines of connected regions (4 neighbours), row by row: regions that are whole are given out
// while later rows are still to come.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace pixelwise {

// Directions of an edge at a corner, clockwise as seen.
enum Way : int { UP = 0, RIGHT = 1, DOWN = 2, LEFT = 3 };

constexpr std::uint32_t NO_CORNER = std::numeric_limits<std::uint32_t>::max();

// A corner of the pixel grid where a border turns or where borders meet.
struct Corner {
    std::int32_t x;
    std::int32_t y;
    std::uint32_t link[4];  // for each way, the edge that follows: 4 × the corner there + its way
    std::int32_t place;    // in the ring that is being walked, where four edges meet
    std::uint8_t ways;     // bit set of the edges that start here
    std::uint8_t walked;   // bit set of the edges that have been walked away from here
    std::uint8_t seen;     // the same for the search of arcs
    bool is_fixed;         // the end of an arc
};

// Corners by number; numbers of corners that are gone are used again. Corners of a few columns lie
// together in memory, since the walk around a region stays near for long.
class Corners {
   public:
    explicit Corners(std::int32_t width) : free_(static_cast<std::size_t>(width / COLUMNS) + 1) {}

    Corner& operator[](std::uint32_t n) { return corners_[n]; }
    const Corner& operator[](std::uint32_t n) const { return corners_[n]; }
    std::uint32_t add(std::int32_t x, std::int32_t y, std::uint8_t ways);
    void remove_if(std::uint32_t n, bool is_gone);
    void connect(std::uint32_t a, Way way, std::uint32_t b, Way back);
    std::size_t held() const { return held_; }

    static constexpr std::uint32_t NONE = 0;  // takes what nobody reads

   private:
    static constexpr std::int32_t COLUMNS = 64;
    static constexpr std::uint32_t TOGETHER = 64;

    struct FreeNumbers {
        std::vector<std::uint32_t> numbers;  // with room for all that there are
        std::size_t count = 0;
    };

    std::vector<Corner> corners_{1};
    std::vector<FreeNumbers> free_;  // for each few columns
    std::size_t held_ = 0;
};

// Where the walk around one ring of a region may start.
struct Seed {
    std::uint32_t edge;  // 4 × corner + way
    std::int32_t next;  // of the same piece, or -1
};

// A region, as far as it is known.
struct Piece {
    std::int64_t label;
    std::int64_t area;
    double weight;
    double value;
    std::int32_t x;  // its first pixel
    std::int32_t y;
    std::int32_t last_row;
    std::int32_t parent;  // itself, or the piece that it was joined to
    std::int32_t first_seed;
    std::int32_t last_seed;
};

struct Polygon {
    std::int64_t label;
    std::int64_t area;
    double weight;
    double value;
    std::int32_t x;
    std::int32_t y;
    std::size_t first_ring;
    std::size_t end_ring;
};

struct Point {
    std::int32_t x;
    std::int32_t y;
};
static_assert(sizeof(Point) == 2 * sizeof(std::int32_t));

inline bool is_before(Point a, Point b) { return a.y != b.y ? a.y < b.y : a.x < b.x; }

// A stretch of points.
struct Ring {
    std::size_t begin;
    std::size_t end;
};

// Leaves what a vector grows by as it is, for those who write it at once.
template <class Value>
struct Unset : std::allocator<Value> {
    template <class Other>
    struct rebind {
        using other = Unset<Other>;
    };
    template <class Other>
    void construct(Other* place) {
        ::new (static_cast<void*>(place)) Other;
    }
    template <class Other, class... Arguments>
    void construct(Other* place, Arguments&&... arguments) {
        ::new (static_cast<void*>(place)) Other(std::forward<Arguments>(arguments)...);
    }
};

// The first ring of a polygon is its outline, the others are holes.
struct Polygons {
    std::vector<Polygon> polygons;
    std::vector<Ring> rings;
    std::vector<Point, Unset<Point>> points;
};

// A row of pixels as runs: a last one of no region starts behind the picture.
struct LabelRun {
    std::int64_t label;
    std::int32_t start;
    std::int32_t piece;
};

constexpr std::int64_t NOWHERE = std::numeric_limits<std::int64_t>::min();

// Simplifies the arcs of a band of rows (simplify.cpp).
class BandSimplifier {
   public:
    BandSimplifier(Corners& corners, std::int32_t width, double tolerance)
        : corners_(corners), width_(width), tolerance_(tolerance) {}

    // `starts` are the corners on the band's top row whose borders lead into it, `inside` those
    // below, in raster order. Corners that are not needed any more get no ways; their links lead to
    // the edges that take the place of theirs.
    void simplify(std::int32_t top, std::int32_t bottom, const std::vector<std::uint32_t>& starts,
                  const std::vector<std::uint32_t>& inside, std::vector<std::uint32_t>& removed);

   private:
    struct Step {  // a corner on the way along an arc
        std::uint32_t corner;
        std::int8_t in;
        std::int8_t out;
    };
    struct Arc {
        std::size_t first;  // in steps_
        std::size_t end;
        bool is_loop;        // without ends
        std::int32_t least;  // how many steps between its ends must stay
    };

    void collect(std::uint32_t corner, int way);
    void collect_loop(std::uint32_t corner);
    void keep_apart(std::int32_t top, std::int32_t bottom);
    void simplify_arc(const Arc& arc, std::vector<std::uint32_t>& removed);
    void relink(const Arc& arc, std::vector<std::uint32_t>& removed);
    bool may_go(const Step* steps, std::int32_t p, std::int32_t count);
    bool is_free(Point a, Point b, Point c) const;
    bool is_row_free(std::int64_t y, std::int64_t low, std::int64_t high, const Point* but) const;
    void mark(std::int32_t x, std::int32_t y, bool value);
    Point point_of(const Step& step) const;

    Corners& corners_;
    std::int32_t width_;
    double tolerance_;
    std::int32_t top_ = 0;
    std::size_t words_ = 0;               // of a row of marks
    std::vector<std::uint64_t> marks_;    // where the corners of the band are
    std::vector<Step> steps_;
    std::vector<Arc> arcs_;
    std::vector<std::int32_t> before_;    // the neighbours of a step that is left, within an arc
    std::vector<std::int32_t> after_;
    std::vector<std::int64_t> cost_;
};

class PolygonTracer {
   public:
    // A tolerance below 0 gives corners alone; from 0 on, points where three regions meet stay in
    // all of them, and above 0 borders are simplified.
    PolygonTracer(std::int32_t width, bool ignores, std::int64_t ignored, double tolerance);
    PolygonTracer(const PolygonTracer&) = delete;
    PolygonTracer& operator=(const PolygonTracer&) = delete;

    // `weights` [rows] and `values` [rows, width] may be null.
    template <class Label>
    void add(const Label* labels, std::int32_t rows, const double* weights, const float* values);
    void finish();

    // The polygons that are whole, each given once; in the order in which they became whole, or
    // in that of their first pixels.
    Polygons take(bool by_place);
    std::int32_t width() const { return width_; }
    std::size_t held() const { return corners_.held(); }

   private:
    void sweep(bool is_last);
    std::uint32_t corner_at(std::int32_t x, std::uint8_t ways, const std::int64_t (&around)[4],
                           bool is_forced);
    void end_run(LabelRun& run, std::uint32_t start_corner);
    void meet(const LabelRun& above, LabelRun& below);
    std::int32_t root_of(std::int32_t piece) const;
    std::int32_t join(std::int32_t a, std::int32_t b);
    void add_seed(std::int32_t piece, std::uint32_t edge);
    void settle_row(double weight, const float* values);
    void close_pieces();
    void end_band();
    void give_out();
    void give_out(std::int32_t piece);
    void walk(std::uint32_t edge);
    void end_ring(std::size_t first);

    std::int32_t width_;
    bool ignores_;
    std::int64_t ignored_;
    double tolerance_;
    Corners corners_;
    BandSimplifier simplifier_;
    std::vector<LabelRun> above_;
    std::vector<LabelRun> below_;
    std::vector<std::uint32_t> column_;  // the last corner on the border that is open at each x
    std::vector<Piece> pieces_;
    std::vector<std::int32_t> free_pieces_;
    std::vector<std::int32_t> joined_;  // pieces that were joined to others in this row
    std::vector<std::int32_t> closed_;  // pieces that no row will add to
    std::vector<Seed> seeds_;
    std::vector<std::int32_t> free_seeds_;
    std::int32_t row_ = 0;

    std::int32_t band_top_ = 0;
    std::vector<std::uint32_t> band_starts_;
    std::vector<std::uint32_t> band_corners_;
    std::vector<std::int32_t> band_seeds_;
    std::vector<std::uint32_t> removed_;

    Polygons out_;
    std::vector<Point> ring_;                    // that is being walked
    std::vector<Point> points_;                  // of all rings of a piece
    std::vector<std::size_t> starts_;            // of its rings, and the end
    std::vector<std::size_t> holes_;
};

}  // namespace pixelwise
