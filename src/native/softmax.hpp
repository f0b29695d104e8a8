// Scores and softmax probabilities of output pixels. Nothing of size [classes, rows, columns]
// exists unless it is the answer.
#pragma once

#include "exponential.hpp"
#include "labels.hpp"
#include "sweep.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

struct SoftmaxBuffers {
    SweepBuffers sweep;
    float* block;  // [classes, LANES]
};

static SoftmaxBuffers take_softmax_buffers(Carver& carver, const DecodeJob& job) {
    SoftmaxBuffers buffers{};
    buffers.sweep = take_sweep_buffers(carver, job);
    buffers.block = carver.take<float>(static_cast<std::size_t>(job.classes) * LANES);
    return buffers;
}

// Interpolates all classes of LANES outputs into `block`; returns the largest of each output.
template <bool Near>
PIXELWISE_INLINE Floats fill_block(const float* line, int stride, int classes, const Taps& taps,
                                   float* block) {
    Floats largest = spread(NOTHING);
    for (int c = 0; c < classes; ++c, line += stride, block += LANES) {
        const Floats score = interpolate<Near>(line, taps);
        store(block, score);
        largest = larger(score, largest);
    }
    return largest;
}

// How terms e^(score - largest) are summed over the classes; the largest term is 1.
struct Summing {
    // Terms below e^-reach are left out: all of them together are below e^-17 = 4e-8.
    Floats reach;
    // About sqrt(classes) partial sums of as many terms: every addition may lose half a bit, and
    // this way no term goes through more than 2 sqrt(classes) of them.
    int length;
};

static Summing summing_of(int classes) {
    float reach = 17.0f;
    for (int n = 1; n < classes; n *= 2) reach += 0.693148f;
    int length = 1;
    while (length * length < classes) ++length;
    return {spread(-reach), length};
}

// Sum over the classes of e^(score - largest). Most scores are far below the largest, and where
// all LANES are, nothing is computed; where some are, they add nothing, so that a pixel does not
// depend on its neighbours.
PIXELWISE_INLINE Floats sum_of_exponentials(const float* block, int classes, Floats largest,
                                            const Summing& summing) {
    Floats sum{};
    for (int c = 0; c < classes;) {
        Floats part{};
        const int end = least(c + summing.length, classes);
        for (; c < end; ++c) {
            const Floats below = load(block + static_cast<std::size_t>(c) * LANES) - largest;
            if (!at_least(below, summing.reach)) continue;
            part += below >= summing.reach ? exponential(below) : Floats{};
        }
        sum += part;
    }
    return sum;
}

// A sum of 0 means that no score was a number: nothing is probable there.
PIXELWISE_INLINE Floats share(Floats part, Floats sum) {
    return sum > Floats{} ? part / sum : Floats{};
}

PIXELWISE_INLINE void store_part(float* to, Floats value, int count) {
    if (count >= LANES) {
        store(to, value);
        return;
    }
    float lanes[LANES];
    store(lanes, value);
    for (int i = 0; i < count; ++i) to[i] = lanes[i];
}

// Calls body(output offset, count, sum, largest) with buffers.block filled for up to LANES outputs.
template <bool Near, class Body>
static void each_block(const DecodeJob& job, int first, int last, const SoftmaxBuffers& buffers,
                       Body body) {
    sweep(job, first, last, buffers.sweep,
          [&](int y, const Tile& tile, const float* line, int stride) {
              for (int x = tile.first; x < tile.last; x += LANES) {
                  const Taps taps = taps_at(job.columns, x, tile.first_source);
                  const Floats largest =
                      fill_block<Near>(line, stride, job.classes, taps, buffers.block);
                  body(static_cast<std::size_t>(y) * job.columns.size + x,
                       least(LANES, tile.last - x), largest);
              }
          });
}

template <class Body>
static void each_block(const DecodeJob& job, int first, int last, const SoftmaxBuffers& buffers,
                       Body body) {
    if (widest_block(job.columns) <= LANES) {
        each_block<true>(job, first, last, buffers, body);
    } else {
        each_block<false>(job, first, last, buffers, body);
    }
}

static void confidence(const DecodeJob& job, int first, int last, char* workspace, float* out) {
    Carver carver{workspace, 0};
    const SoftmaxBuffers buffers = take_softmax_buffers(carver, job);
    const Summing summing = summing_of(job.classes);
    each_block(job, first, last, buffers, [&](std::size_t offset, int count, Floats largest) {
        const Floats sum = sum_of_exponentials(buffers.block, job.classes, largest, summing);
        store_part(out + offset, share(spread(1.0f), sum), count);
    });
}

static void probability(const DecodeJob& job, int first, int last, char* workspace, float* out) {
    Carver carver{workspace, 0};
    const SoftmaxBuffers buffers = take_softmax_buffers(carver, job);
    const Summing summing = summing_of(job.classes);
    const float* const wanted = buffers.block + static_cast<std::size_t>(job.class_index) * LANES;
    each_block(job, first, last, buffers, [&](std::size_t offset, int count, Floats largest) {
        const Floats sum = sum_of_exponentials(buffers.block, job.classes, largest, summing);
        store_part(out + offset, share(exponential(load(wanted) - largest), sum), count);
    });
}

static void scores(const DecodeJob& job, int first, int last, char* workspace, float* out) {
    Carver carver{workspace, 0};
    const SoftmaxBuffers buffers = take_softmax_buffers(carver, job);
    const std::size_t plane = static_cast<std::size_t>(job.rows.size) * job.columns.size;
    each_block(job, first, last, buffers, [&](std::size_t offset, int count, Floats) {
        for (std::size_t c = 0; c < static_cast<std::size_t>(job.classes); ++c) {
            store_part(out + c * plane + offset, load(buffers.block + c * LANES), count);
        }
    });
}

static void probabilities(const DecodeJob& job, int first, int last, char* workspace, float* out) {
    Carver carver{workspace, 0};
    const SoftmaxBuffers buffers = take_softmax_buffers(carver, job);
    const Summing summing = summing_of(job.classes);
    const std::size_t plane = static_cast<std::size_t>(job.rows.size) * job.columns.size;
    each_block(job, first, last, buffers, [&](std::size_t offset, int count, Floats largest) {
        const Floats sum = sum_of_exponentials(buffers.block, job.classes, largest, summing);
        for (std::size_t c = 0; c < static_cast<std::size_t>(job.classes); ++c) {
            const Floats score = load(buffers.block + c * LANES);
            store_part(out + c * plane + offset, share(exponential(score - largest), sum), count);
        }
    });
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
