// Average precision of detections in the order of their scores.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pixelwise {

constexpr std::uint8_t RIGHT = 1;
constexpr std::uint8_t NOT_COUNTED = 2;

struct RankedJob {
    const std::uint8_t* outcomes;  // [thresholds, detections]
    const std::int32_t* pictures;  // [detections]
    const std::int64_t* times;     // [draws, pictures]
    const std::int64_t* objects;   // [draws]
    const double* recalls;         // [recall_count], rising
    std::int64_t detections;
    std::int64_t picture_count;
    int thresholds;
    int recall_count;
};

std::size_t ranked_workspace_bytes(const RankedJob& job);

// Of the draws first <= n < last, into out [draws, thresholds]; NaN where there is no object.
void average_precision(const RankedJob& job, int first, int last, char* workspace, double* out);

}  // namespace pixelwise
