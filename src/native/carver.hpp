// Scratch memory in pieces, for the files that are compiled once per instruction set.
#pragma once

#include <cstddef>

#include "simd.hpp"

namespace pixelwise {
namespace PIXELWISE_VARIANT {

PIXELWISE_INLINE int least(int a, int b) { return a < b ? a : b; }
PIXELWISE_INLINE int most(int a, int b) { return a > b ? a : b; }

// Hands out aligned pieces of a workspace; with a null workspace it only adds up their sizes.
struct Carver {
    char* base;
    std::size_t used;

    template <class T>
    T* take(std::size_t count) {
        T* piece = base ? reinterpret_cast<T*>(base + used) : nullptr;
        used += (count * sizeof(T) + 63) / 64 * 64;
        return piece;
    }
};

}  // namespace PIXELWISE_VARIANT
}  // namespace pixelwise
