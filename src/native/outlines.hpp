// Exact outlines of a whole map (outlines.cpp), the same as those of a `PolygonTracer`.
#pragma once

#include <cstdint>

#include "polygons.hpp"

namespace pixelwise {

// The connected regions (4 neighbours) of `labels` [height, width], both at least 1, without those
// of the ignored label.
template <class Label>
Polygons trace_outlines(const Label* labels, std::int64_t height, std::int64_t width, bool ignores,
                        std::int64_t ignored);

}  // namespace pixelwise
