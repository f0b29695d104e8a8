// What the decode kernels work on, and the table of entry points that every instruction-set
// variant of decode.cpp fills. This header is shared between variants: data only, no inline code.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pixelwise {

// Tables are padded by this many copies of their last entry, so that a vector may be loaded at any
// valid position. At least the widest vector of any variant.
constexpr int TABLE_PADDING = 16;

// Along one side, output pixel p is
// low_weight[p] * score[low[p]] + high_weight[p] * score[high[p]]. `low` never decreases, high is low + 1 or the last score, and both weights lie in [0, 1].
struct AxisTable {
    const std::int32_t* low;
    const std::int32_t* high;
    const float* low_weight;
    const float* high_weight;
    std::int32_t size;
};

struct DecodeJob {
    const float* scores;  // [classes, height, width]
    std::int32_t classes;
    std::int32_t height;
    std::int32_t width;
    AxisTable rows;
    AxisTable columns;
    std::int32_t class_index;  // for `probability` only
};

// Each entry fills the output rows first <= y < last of an output with job.columns.size columns.
// `workspace` is scratch of workspace_bytes(job), aligned to 64, private to the calling thread.
struct DecodeKernels {
    std::size_t (*workspace_bytes)(const DecodeJob& job);
    void (*labels8)(const DecodeJob&, int first, int last, char* workspace, std::uint8_t* out);
    void (*labels16)(const DecodeJob&, int first, int last, char* workspace, std::uint16_t* out);
    void (*full_labels8)(const DecodeJob&, int first, int last, char* workspace, std::uint8_t* out);
    void (*full_labels16)(const DecodeJob&, int first, int last, char* workspace,
                          std::uint16_t* out);
    void (*confidence)(const DecodeJob&, int first, int last, char* workspace, float* out);
    void (*probability)(const DecodeJob&, int first, int last, char* workspace, float* out);
    void (*scores)(const DecodeJob&, int first, int last, char* workspace, float* out);
    void (*probabilities)(const DecodeJob&, int first, int last, char* workspace, float* out);
};

namespace baseline {
extern const DecodeKernels decode_kernels;
}
namespace avx2 {
extern const DecodeKernels decode_kernels;
}
namespace avx512 {
extern const DecodeKernels decode_kernels;
}

}  // namespace pixelwise
