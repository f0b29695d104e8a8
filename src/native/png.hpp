// The row filters of PNG, undone: W3C, Portable Network Graphics, second edition, section 9.
#pragma once

#include <cstdint>

namespace pixelwise {

// `filtered` is [height, 1 + row_bytes], a filter type before each row; `out` is
// [height, row_bytes]. A pixel takes `pixel_bytes` bytes: 1, 2, 3, 4, 6 or 8, and row_bytes is a
// multiple of it. Returns the first row whose filter type is above 4, where it stops, or -1.
std::int64_t undo_png_filters(const std::uint8_t* filtered, std::int64_t height,
                              std::int64_t row_bytes, int pixel_bytes, std::uint8_t* out);

}  // namespace pixelwise
