// Decoding of low-resolution class scores into a picture. CMake compiles this file once per
// instruction set, each time into a namespace of its own named by PIXELWISE_VARIANT, and
// module.cpp picks the best that the CPU can run.
//
// Nothing in here may call an inline function of the standard library: see simd.hpp.
// Products and sums must not be fused (-ffp-contract=off), so that all variants give the same bits.
#include "decode.hpp"
#include "labels.hpp"
#include "softmax.hpp"
#include "sweep.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

static std::size_t workspace_bytes(const DecodeJob& job) {
    Carver for_labels{nullptr, 0};
    take_label_buffers(for_labels, job);
    Carver for_softmax{nullptr, 0};
    take_softmax_buffers(for_softmax, job);
    return for_labels.used > for_softmax.used ? for_labels.used : for_softmax.used;
}

template <class Label>
static void full_labels_only(const DecodeJob& job, int first, int last, char* workspace,
                             Label* out) {
    Carver carver{workspace, 0};
    full_labels(job, first, last, take_sweep_buffers(carver, job), out);
}

const DecodeKernels decode_kernels = {
    workspace_bytes,
    labels<std::uint8_t>,
    labels<std::uint16_t>,
    full_labels_only<std::uint8_t>,
    full_labels_only<std::uint16_t>,
    confidence,
    probability,
    scores,
    probabilities,
};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
