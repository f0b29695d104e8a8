// Labels come in runs: where one starts is found for many pixels at once, the table is asked once
// per run.
#include "overlaps.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace pixelwise {

namespace {

constexpr std::int64_t BLOCK = 4096;  // pixels whose starts of runs stay in the first cache

using Starts = std::array<std::uint8_t, BLOCK>;

template <class Label>
void mark_starts(const void* data, std::int64_t first, std::int64_t count, std::uint8_t* starts) {
    const Label* const labels = static_cast<const Label*>(data) + first;
    for (std::int64_t i = 1; i < count; ++i) {
        starts[i] |= static_cast<std::uint8_t>(labels[i] != labels[i - 1]);
    }
}

void mark_starts(const LabelImage& image, std::int64_t first, std::int64_t count,
                 std::uint8_t* starts) {
    switch (image.bytes) {
        case 1: return mark_starts<std::uint8_t>(image.data, first, count, starts);
        case 2: return mark_starts<std::uint16_t>(image.data, first, count, starts);
        case 4: return mark_starts<std::uint32_t>(image.data, first, count, starts);
        default: return mark_starts<std::uint64_t>(image.data, first, count, starts);
    }
}

template <class Unsigned, class Signed>
std::int64_t label_at(const LabelImage& image, std::int64_t place) {
    const Unsigned label = static_cast<const Unsigned*>(image.data)[place];
    return image.is_signed ? static_cast<std::int64_t>(static_cast<Signed>(label))
                           : static_cast<std::int64_t>(label);
}

std::int64_t label_at(const LabelImage& image, std::int64_t place) {
    switch (image.bytes) {
        case 1: return label_at<std::uint8_t, std::int8_t>(image, place);
        case 2: return label_at<std::uint16_t, std::int16_t>(image, place);
        case 4: return label_at<std::uint32_t, std::int32_t>(image, place);
        default: return label_at<std::uint64_t, std::int64_t>(image, place);
    }
}

}  // namespace

std::size_t OverlapTable::slot_of(const std::int64_t* combination) const {
    std::uint64_t hash = 0;
    for (int i = 0; i < labels_; ++i) {
        hash = (hash ^ static_cast<std::uint64_t>(combination[i])) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = static_cast<std::size_t>(hash) & mask;
    while (slots_[slot] != EMPTY &&
           !std::equal(combination, combination + labels_,
                       combinations_.data() + slots_[slot] * labels_)) {
        slot = (slot + 1) & mask;
    }
    return slot;
}

void OverlapTable::grow() {
    std::fill(slots_.begin(), slots_.end(), EMPTY);
    slots_.resize(2 * slots_.size(), EMPTY);
    for (std::size_t n = 0; n < size(); ++n) {
        slots_[slot_of(combinations_.data() + n * labels_)] = static_cast<std::int64_t>(n);
    }
}

void OverlapTable::add(const std::int64_t* combination, std::int64_t pixels) {
    std::size_t slot = slot_of(combination);
    if (slots_[slot] == EMPTY) {
        if (2 * (size() + 1) > slots_.size()) {
            grow();
            slot = slot_of(combination);
        }
        slots_[slot] = static_cast<std::int64_t>(size());
        combinations_.insert(combinations_.end(), combination, combination + labels_);
        pixels_.push_back(0);
    }
    pixels_[slots_[slot]] += pixels;
}

void OverlapTable::add(const OverlapTable& other) {
    for (std::size_t n = 0; n < other.size(); ++n) {
        add(other.combinations_.data() + n * labels_, other.pixels_[n]);
    }
}

void count_overlaps(const std::vector<LabelImage>& images, std::int64_t first, std::int64_t last,
                    OverlapTable& table) {
    alignas(64) Starts starts;
    std::vector<std::int64_t> combination(images.size());
    for (std::int64_t block = first; block < last; block += BLOCK) {
        const std::int64_t count = std::min(BLOCK, last - block);
        starts.fill(0);
        for (const LabelImage& image : images) mark_starts(image, block, count, starts.data());
        std::int64_t run = 0;
        const auto end_run = [&](std::int64_t end) {
            for (std::size_t i = 0; i < images.size(); ++i) {
                combination[i] = label_at(images[i], block + run);
            }
            table.add(combination.data(), end - run);
            run = end;
        };
        for (std::int64_t word = 0; word < count; word += 8) {
            std::uint64_t eight;
            std::memcpy(&eight, starts.data() + word, 8);
            if (eight == 0) continue;
            for (std::int64_t i = word; i < word + 8; ++i) {
                if (starts[static_cast<std::size_t>(i)]) end_run(i);
            }
        }
        end_run(count);
    }
}

}  // namespace pixelwise
