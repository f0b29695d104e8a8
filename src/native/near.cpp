#include "near.hpp"

#include <algorithm>

namespace pixelwise {

namespace {

constexpr std::int64_t WORD = 64;

// The others as bits of a picture that is as large as the box that holds them.
struct Bits {
    std::int64_t top;
    std::int64_t left;
    std::int64_t bottom;  // the first row and column outside
    std::int64_t right;
    std::int64_t words;  // of a row
    std::uint64_t* data;

    // Is a bit of row y set in columns first <= x <= last?
    bool any(std::int64_t y, std::int64_t first, std::int64_t last) const {
        if (y < top || y >= bottom) return false;
        first = std::max(first, left) - left;
        last = std::min(last, right - 1) - left;
        if (first > last) return false;
        const std::uint64_t* const row = data + (y - top) * words;
        const std::int64_t from = first / WORD;
        const std::int64_t to = last / WORD;
        const std::uint64_t head = ~std::uint64_t{0} << (first % WORD);
        const std::uint64_t tail = ~std::uint64_t{0} >> (WORD - 1 - last % WORD);
        if (from == to) return (row[from] & head & tail) != 0;
        if ((row[from] & head) != 0 || (row[to] & tail) != 0) return true;
        return std::any_of(row + from + 1, row + to, [](std::uint64_t word) { return word != 0; });
    }
};

Bits box_of(const NearJob& job) {
    Bits box{job.others[0], job.others[1], job.others[0], job.others[1], 0, nullptr};
    for (std::int64_t n = 0; n < job.other_count; ++n) {
        const std::int64_t y = job.others[2 * n];
        const std::int64_t x = job.others[2 * n + 1];
        box.top = std::min(box.top, y);
        box.bottom = std::max(box.bottom, y);
        box.left = std::min(box.left, x);
        box.right = std::max(box.right, x);
    }
    ++box.bottom;
    ++box.right;
    box.words = (box.right - box.left + WORD - 1) / WORD;
    return box;
}

}  // namespace

void mark_near(const NearJob& job, std::vector<std::uint64_t>& bits) {
    Bits box = box_of(job);
    const std::size_t needed = static_cast<std::size_t>((box.bottom - box.top) * box.words);
    if (bits.size() < needed) bits.resize(needed, 0);
    box.data = bits.data();
    const auto word_of = [&](std::int64_t n) -> std::uint64_t& {
        return box.data[(job.others[2 * n] - box.top) * box.words +
                        (job.others[2 * n + 1] - box.left) / WORD];
    };
    for (std::int64_t n = 0; n < job.other_count; ++n) {
        word_of(n) |= std::uint64_t{1} << ((job.others[2 * n + 1] - box.left) % WORD);
    }
    const std::vector<std::int64_t>& reach = *job.reach;
    for (std::int64_t n = 0; n < job.count; ++n) {
        const std::int64_t y = job.points[2 * n];
        const std::int64_t x = job.points[2 * n + 1];
        bool found = false;
        // Most points have one close by.
        for (std::size_t apart = 0; apart < reach.size() && !found; ++apart) {
            const std::int64_t down = static_cast<std::int64_t>(apart);
            const std::int64_t across = reach[apart];
            found = box.any(y + down, x - across, x + across) ||
                    box.any(y - down, x - across, x + across);
        }
        job.out[n] = found;
    }
    for (std::int64_t n = 0; n < job.other_count; ++n) word_of(n) = 0;
}

}  // namespace pixelwise
