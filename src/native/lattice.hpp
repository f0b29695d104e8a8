// The permutohedral lattice: which vertices a pixel lies between, and which are neighbours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pixelwise {

constexpr int MOST_DIMENSIONS = 32;

// Adams, Baek and Davis, "Fast high-dimensional filtering using the permutohedral lattice"
// (Computer Graphics Forum 29, 2010). Every pixel lies in a simplex of dimensions + 1 vertices;
// `vertices` and `weights` say in which, and how near to each.
struct Lattice {
    int dimensions;
    std::int64_t pixels;
    std::int32_t count;                    // of vertices; one more stands for "not there"
    std::vector<std::int32_t> vertices;    // [pixels, dimensions + 1]
    std::vector<float> weights;            // [pixels, dimensions + 1]
    std::vector<std::int32_t> neighbours;  // [dimensions + 1, count, 2]; `count` where there is none
    // The same pairs by vertex: those of v are starts[v] to starts[v + 1].
    std::vector<std::int64_t> starts;        // [count + 1]
    std::vector<std::int32_t> members;       // [pixels * (dimensions + 1)]
    std::vector<float> member_weights;       // [pixels * (dimensions + 1)]
};

// Vertices are numbered in the order in which the pixels meet them. `features` are
// [pixels, dimensions], in standard deviations of the Gaussian.
Lattice make_lattice(const float* features, std::int64_t pixels, int dimensions, int threads);

// Multiplies all weights of a pixel by its factor.
void scale_pixels(Lattice& lattice, const float* factors);

}  // namespace pixelwise
