#include "ranked.hpp"

#include <algorithm>
#include <limits>

namespace pixelwise {
namespace {

// The curve after a right detection; precision falls until the next, so no other point matters.
struct Point {
    std::int64_t found;
    std::int64_t counted;
};

// Stores the points of one threshold, and gives how many there are.
std::int64_t points_of(const std::uint8_t* outcomes, const std::int64_t* weights,
                       std::int64_t detections, Point* points) {
    std::int64_t size = 0;
    Point sum{0, 0};
    for (std::int64_t n = 0; n < detections; ++n) {
        const bool right = outcomes[n] == RIGHT;
        sum.found += right ? weights[n] : 0;
        sum.counted += outcomes[n] == NOT_COUNTED ? 0 : weights[n];
        // Written without a jump: what is no point is written over.
        points[size] = sum;
        size += right && weights[n] > 0;
    }
    return size;
}

// The mean over the recalls of the best precision at that recall or a higher one.
double mean_precision(const Point* points, std::int64_t size, double objects,
                      const RankedJob& job) {
    double sum = 0, best = 0;
    int next = job.recall_count - 1;
    const auto recall_of = [&](std::int64_t n) {
        return n < 0 ? -1.0 : static_cast<double>(points[n].found) / objects;
    };
    while (next >= 0 && job.recalls[next] > recall_of(size - 1)) --next;
    for (std::int64_t n = size - 1; n >= 0 && next >= 0; --n) {
        const Point& point = points[n];
        best = std::max(best,
                        static_cast<double>(point.found) / static_cast<double>(point.counted));
        for (const double before = recall_of(n - 1); next >= 0 && job.recalls[next] > before;
             --next) {
            sum += best;
        }
    }
    return sum / job.recall_count;
}

}  // namespace

std::size_t ranked_workspace_bytes(const RankedJob& job) {
    return static_cast<std::size_t>(job.detections) * (sizeof(Point) + sizeof(std::int64_t)) +
           sizeof(Point);
}

void average_precision(const RankedJob& job, int first, int last, char* workspace, double* out) {
    auto* const points = reinterpret_cast<Point*>(workspace);
    auto* const weights = reinterpret_cast<std::int64_t*>(points + job.detections + 1);
    for (std::int64_t draw = first; draw < last; ++draw) {
        double* const own = out + draw * job.thresholds;
        if (job.objects[draw] == 0) {
            std::fill(own, own + job.thresholds, std::numeric_limits<double>::quiet_NaN());
            continue;
        }
        const std::int64_t* const times = job.times + draw * job.picture_count;
        for (std::int64_t n = 0; n < job.detections; ++n) weights[n] = times[job.pictures[n]];
        for (int threshold = 0; threshold < job.thresholds; ++threshold) {
            const std::int64_t size = points_of(job.outcomes + threshold * job.detections, weights,
                                                job.detections, points);
            own[threshold] =
                mean_precision(points, size, static_cast<double>(job.objects[draw]), job);
        }
    }
}

}  // namespace pixelwise
