// How many pixels each combination of labels has, over label images of one size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pixelwise {

struct LabelImage {
    const void* data;
    int bytes;  // of a label: 1, 2, 4 or 8
    bool is_signed;
};

// Combinations in the order in which they were met, each with its pixels; open addressing.
class OverlapTable {
   public:
    explicit OverlapTable(int labels) : labels_(labels), slots_(64, EMPTY) {}

    void add(const std::int64_t* combination, std::int64_t pixels);
    void add(const OverlapTable& other);

    std::size_t size() const { return pixels_.size(); }
    const std::vector<std::int64_t>& combinations() const { return combinations_; }
    const std::vector<std::int64_t>& pixels() const { return pixels_; }

   private:
    static constexpr std::int64_t EMPTY = -1;

    std::size_t slot_of(const std::int64_t* combination) const;
    void grow();

    int labels_;
    std::vector<std::int64_t> slots_;
    std::vector<std::int64_t> combinations_;  // [size, labels]
    std::vector<std::int64_t> pixels_;        // [size]
};

// Adds the pixels first <= n < last, counted along the rows.
void count_overlaps(const std::vector<LabelImage>& images, std::int64_t first, std::int64_t last,
                    OverlapTable& table);

}  // namespace pixelwise
