// The loss of LANES neighbouring pixels of one output row, and its gradient with respect to their
// interpolated scores. Vectors run over pixels, so that 2 classes fill them as well as 150.
//
// Scores are multiples of ln 2, which makes e^x a power of two. With e_c = 2^(score - largest) and
// their sum s, the truth S (one class, or the candidates of a union) has the probability
// p = own / s, where `own` is the sum of e over S and `rest` the sum over all others. For the loss
// w (1 - p)^gamma (-ln p), the gradient is k q_c outside S and -k (1 - p) q_c / p in S, where
// q_c = e_c / s and k = w (1 - p)^gamma (1 + gamma p (-ln p) / (1 - p)). `rest` is summed without
// the truth and never taken as a difference, so that 1 - p stays precise where p is nearly 1.
#pragma once

#include <limits>

#include "sweep.hpp"
#include "upsampled_loss.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

constexpr float LOWEST = -std::numeric_limits<float>::infinity();

// 2^x for x <= 0 with a relative error below 2e-7, and 2^-100 below that and for NaN: products
// with it are no denormal numbers. x = n + r with |r| <= 1/2; 2^n goes into the exponent bits, and
// 2^r = 1 + r q(r) with the quartic q that keeps the largest relative error smallest (found by
// reweighted least squares).
PIXELWISE_INLINE Floats power_of_two(Floats x) {
    const Floats reach = larger(x, spread(-100.0f));
    // Adding 1.5 * 2^23 leaves no bits for a fraction, and n in the lowest bits.
    const Floats shifted = reach + 12582912.0f;
    const Floats r = reach - (shifted - 12582912.0f);
    Floats power = r * 0.00132647273f + 0.00967151299f;
    power = power * r + 0.0555073358f;
    power = power * r + 0.240222424f;
    power = power * r + 0.693147004f;
    power = power * r + 1.0f;
    return from_bits(bits(power) + (bits(shifted) << 23));
}

// log2 of a normal number above 0, with a relative error below 3e-7 near 1 too: the series of
// 2 artanh((m - 1) / (m + 1)) / ln 2 for the mantissa m in [1/sqrt 2, sqrt 2).
PIXELWISE_INLINE Floats logarithm(Floats x) {
    const Words above = bits(x) - 0x3f3504f3u;
    const Ints exponent = (Ints)above >> 23;
    const Floats m = from_bits(bits(x) - ((Words)exponent << 23));
    const Floats s = (m - 1.0f) / (m + 1.0f);
    const Floats q = s * s;
    Floats series = q * 0.320598898f + 0.412198583f;
    series = series * q + 0.577078016f;
    series = series * q + 0.961796694f;
    series = series * q + 2.88539008f;
    return floats_of(exponent) + s * series;
}

// LANES pixels of one output row.
struct PixelRow {
    float upper_weight;  // of the two rows of scores
    float lower_weight;
    Ints target;     // class, union, or -1 where nothing counts
    Floats weight;   // of the truth
    bool has_union;
    Floats largest;  // score
    Floats unknown;  // NaN where a score is not a number
    Floats rest;     // see above
    Floats own;
    Floats own_score;    // of the truth, less the largest
    Floats mean_score;   // weighted sum over all classes, less the largest, for label smoothing
    Floats scale;        // gradient = scale * e
    Floats smooth_scale; // the same for label smoothing
};

// Scores of a block: [classes] vectors, `stride` apart.
struct Block {
    const float* upper;
    const float* lower;
    int stride;
};

// Interpolates the scores of Count rows into `scores` [Count, classes, LANES].
template <int Count, bool Finite>
static void interpolate_rows(const Block& block, int classes, PixelRow* rows, float* scores) {
    const std::size_t size = static_cast<std::size_t>(classes) * LANES;
    Floats largest[Count], unknown[Count], upper_weight[Count], lower_weight[Count];
    for (int n = 0; n < Count; ++n) {
        largest[n] = spread(LOWEST);
        unknown[n] = Floats{};
        upper_weight[n] = spread(rows[n].upper_weight);
        lower_weight[n] = spread(rows[n].lower_weight);
    }
    const float* upper = block.upper;
    const float* lower = block.lower;
    for (int c = 0; c < classes; ++c, upper += block.stride, lower += block.stride) {
        const Floats above = load(upper);
        const Floats below = load(lower);
        for (int n = 0; n < Count; ++n) {
            const Floats score = above * upper_weight[n] + below * lower_weight[n];
            store(scores + n * size + static_cast<std::size_t>(c) * LANES, score);
            largest[n] = larger(score, largest[n]);
            if (!Finite) unknown[n] += score - score;
        }
    }
    for (int n = 0; n < Count; ++n) {
        rows[n].largest = largest[n];
        rows[n].unknown = unknown[n];
    }
}

// Turns the scores of a row into e, all of them into `plain` too where it is wanted.
template <bool Smooth>
static void exponentials(const LossJob& job, PixelRow& row, float* scores, float* plain) {
    Floats rest{}, own_score{}, mean_score{};
    // About sqrt(classes) partial sums of as many terms: every addition may lose half a bit.
    int length = 1;
    while (length * length < job.classes) ++length;
    for (std::int32_t c = 0; c < job.classes;) {
        Floats part{};
        const std::int32_t end = least(c + length, job.classes);
        for (; c < end; ++c, scores += LANES) {
            const Floats below = load(scores) - row.largest;
            const Floats e = power_of_two(below);
            const Ints is_truth = row.target == spread(c);
            own_score = is_truth ? below : own_score;
            part += is_truth ? Floats{} : e;
            store(scores, e);
            if (Smooth) {
                mean_score += below * job.class_weights[c];
                store(plain, e);
                plain += LANES;
            }
        }
        rest += part;
    }
    row.rest = rest;
    row.own_score = own_score;
    row.own = power_of_two(own_score);
    row.mean_score = mean_score;
}

// The pixels of one union: their truth is the sum over the candidates.
static void sum_union(const LossJob& job, const Block& block, Ints is_union, int number,
                      PixelRow& row, float* scores) {
    const std::int32_t* const order =
        job.union_orders + static_cast<std::size_t>(number) * job.classes;
    const std::int32_t size = job.union_sizes[number];
    const auto score_of = [&](std::int32_t c) {
        const std::size_t place = static_cast<std::size_t>(c) * block.stride;
        return load(block.upper + place) * row.upper_weight +
               load(block.lower + place) * row.lower_weight;
    };
    const auto e_of = [&](std::int32_t c) { return scores + static_cast<std::size_t>(c) * LANES; };
    Floats largest = spread(LOWEST);
    for (std::int32_t i = 0; i < size; ++i) largest = larger(score_of(order[i]), largest);
    Floats inside{};
    for (std::int32_t i = 0; i < size; ++i) {
        const Floats e = power_of_two(score_of(order[i]) - largest);
        inside += e;
        store(e_of(order[i]), is_union ? e : load(e_of(order[i])));
    }
    Floats rest{};
    for (std::int32_t i = size; i < job.classes; ++i) rest += load(e_of(order[i]));
    const Floats factor = rest / inside;
    for (std::int32_t i = 0; i < size; ++i) {
        const Floats e = load(e_of(order[i]));
        store(e_of(order[i]), is_union ? -(e * factor) : e);
    }
    const Floats beyond = largest - row.largest;
    row.rest = is_union ? rest : row.rest;
    row.own = is_union ? inside * power_of_two(beyond) : row.own;
    row.own_score = is_union ? beyond + logarithm(inside) : row.own_score;
}

static void sum_unions(const LossJob& job, const Block& block, PixelRow& row, float* scores) {
    std::int32_t targets[LANES];
    store(targets, row.target);
    for (int lane = 0; lane < LANES; ++lane) {
        const std::int32_t target = targets[lane];
        if (target < job.classes) continue;
        sum_union(job, block, row.target == spread(target), target - job.classes, row, scores);
        for (int i = lane; i < LANES; ++i) targets[i] = targets[i] == target ? -1 : targets[i];
    }
}

// The loss of every pixel, and the factors of its gradient.
static Floats finish(const LossJob& job, float weights_sum, PixelRow& row) {
    const Floats sum = row.rest + row.own;
    const Floats inverse = spread(1.0f) / sum;
    // What the addition has lost: the loss of a sure pixel lies in there.
    const Floats lost = (row.rest - (sum - row.own)) * inverse;
    const Floats log_sum = logarithm(sum) + lost * LOG2_E;
    const Floats surprise = (log_sum - row.own_score) * LN_2;
    Floats loss = surprise;
    Floats factor = spread(1.0f);
    if (job.focal_gamma > 0) {
        // 1 - p; of a single class, which nothing speaks against, not quite 0.
        const Floats doubt = larger(row.rest * inverse, spread(1e-30f));
        const Floats power = power_of_two(logarithm(doubt) * job.focal_gamma);
        loss = power * surprise;
        factor = power * (row.own * inverse * (surprise / doubt) * job.focal_gamma + 1.0f);
    }
    const Ints counts = row.target >= spread(0);
    loss *= row.weight * (1.0f - job.label_smoothing);
    factor *= row.weight * (1.0f - job.label_smoothing);
    if (job.label_smoothing > 0) {
        const float share = job.label_smoothing / static_cast<float>(job.classes);
        loss += (log_sum * weights_sum - row.mean_score) * (share * LN_2);
        row.smooth_scale = counts ? inverse * (share * weights_sum) + row.unknown : Floats{};
    }
    row.scale = counts ? factor * inverse + row.unknown : Floats{};
    return counts ? loss + row.unknown : Floats{};
}

// Adds the gradient of Count rows to that of the two rows of scores, at the full width.
template <int Count, bool Smooth>
static void add_gradient(const LossJob& job, const PixelRow* rows, const float* scores,
                         const float* plain, float* upper, float* lower, int stride) {
    const std::size_t size = static_cast<std::size_t>(job.classes) * LANES;
    const float share = job.label_smoothing / static_cast<float>(job.classes);
    Ints target[Count];
    Floats truth[Count], upper_scale[Count], lower_scale[Count], counts[Count];
    for (int n = 0; n < Count; ++n) {
        target[n] = rows[n].target;
        truth[n] = -rows[n].rest;
        upper_scale[n] = rows[n].scale * rows[n].upper_weight;
        lower_scale[n] = rows[n].scale * rows[n].lower_weight;
        counts[n] = target[n] >= spread(0) ? spread(share) : Floats{};
    }
    for (std::int32_t c = 0; c < job.classes; ++c, upper += stride, lower += stride) {
        Floats above = load(upper);
        Floats below = load(lower);
        for (int n = 0; n < Count; ++n) {
            const std::size_t place = n * size + static_cast<std::size_t>(c) * LANES;
            const Floats e = target[n] == spread(c) ? truth[n] : load(scores + place);
            above += e * upper_scale[n];
            below += e * lower_scale[n];
            if (Smooth) {
                const Floats more = load(plain + place) * rows[n].smooth_scale -
                                    counts[n] * job.class_weights[c];
                above += more * rows[n].upper_weight;
                below += more * rows[n].lower_weight;
            }
        }
        store(upper, above);
        store(lower, below);
    }
}

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
