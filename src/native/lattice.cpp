#include "lattice.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "parallel.hpp"

namespace pixelwise {

namespace {

// Keys of the vertices seen so far, in the order in which they were met; open addressing.
class VertexTable {
   public:
    explicit VertexTable(int length) : length_(length), slots_(1 << 12, -1) {}

    std::int32_t size() const { return static_cast<std::int32_t>(keys_.size() / length_); }
    const std::int32_t* key(std::int32_t vertex) const {
        return keys_.data() + static_cast<std::size_t>(vertex) * length_;
    }

    // The number of the vertex, or -1.
    std::int32_t find(const std::int32_t* key) const { return slots_[slot_of(key)]; }

    std::int32_t add(const std::int32_t* key) {
        std::size_t slot = slot_of(key);
        if (slots_[slot] >= 0) return slots_[slot];
        if (2 * static_cast<std::size_t>(size()) >= slots_.size()) {
            grow();
            slot = slot_of(key);
        }
        slots_[slot] = size();
        keys_.insert(keys_.end(), key, key + length_);
        return slots_[slot];
    }

   private:
    std::size_t slot_of(const std::int32_t* key) const {
        std::uint64_t hash = 0;
        for (int i = 0; i < length_; ++i) {
            hash = (hash ^ static_cast<std::uint32_t>(key[i])) * 0x9E3779B97F4A7C15u;
            hash ^= hash >> 29;
        }
        const std::size_t mask = slots_.size() - 1;
        std::size_t slot = static_cast<std::size_t>(hash >> 20) & mask;
        while (slots_[slot] >= 0 &&
               std::memcmp(this->key(slots_[slot]), key, sizeof *key * length_) != 0) {
            slot = (slot + 1) & mask;
        }
        return slot;
    }

    void grow() {
        slots_.assign(slots_.size() * 4, -1);
        for (std::int32_t vertex = 0; vertex < size(); ++vertex) {
            slots_[slot_of(key(vertex))] = vertex;
        }
    }

    int length_;
    std::vector<std::int32_t> slots_;
    std::vector<std::int32_t> keys_;
};

// The simplex around one pixel: its vertex of remainder 0, and the order of the coordinates.
struct Simplex {
    std::int32_t base[MOST_DIMENSIONS + 1];
    std::int32_t rank[MOST_DIMENSIONS + 1];
};

struct Elevation {
    int dimensions;
    double scales[MOST_DIMENSIONS];
};

Elevation elevation_of(int dimensions) {
    Elevation elevation{};
    elevation.dimensions = dimensions;
    // The blur has this standard deviation along each side of the lattice; the paper's section 3.
    const double deviation = std::sqrt(2.0 / 3.0) * (dimensions + 1);
    for (int i = 0; i < dimensions; ++i) {
        elevation.scales[i] = deviation / std::sqrt((i + 1.0) * (i + 2.0));
    }
    return elevation;
}

// Sections 3.2 and 3.3 of the paper: onto the plane of coordinates that sum to 0, to the nearest
// vertex of remainder 0, and the barycentric weights in the simplex around it.
// `Fixed` is the number of dimensions where it is a usual one, so that loops are unrolled; else 0.
template <int Fixed>
void find_simplex(const Elevation& elevation, const float* feature, Simplex& simplex,
                  float* weights) {
    const int d = Fixed ? Fixed : elevation.dimensions;
    double elevated[MOST_DIMENSIONS + 1];
    double below = 0.0;
    for (int i = d; i > 0; --i) {
        const double scaled = static_cast<double>(feature[i - 1]) * elevation.scales[i - 1];
        elevated[i] = below - i * scaled;
        below += scaled;
    }
    elevated[0] = below;
    int sum = 0;
    double offset[MOST_DIMENSIONS + 1];
    for (int i = 0; i <= d; ++i) {
        const double whole = std::floor(elevated[i] / (d + 1) + 0.5);
        simplex.base[i] = static_cast<std::int32_t>(whole) * (d + 1);
        sum += static_cast<int>(whole);
        offset[i] = elevated[i] - simplex.base[i];
        simplex.rank[i] = 0;
    }
    for (int i = 0; i < d; ++i) {
        for (int j = i + 1; j <= d; ++j) {
            const bool less = offset[i] < offset[j];
            simplex.rank[i] += less;
            simplex.rank[j] += !less;
        }
    }
    for (int i = 0; i <= d && sum != 0; ++i) {
        std::int32_t& rank = simplex.rank[i];
        rank += sum;
        if (rank > d) {
            rank -= d + 1;
            simplex.base[i] -= d + 1;
        } else if (rank < 0) {
            rank += d + 1;
            simplex.base[i] += d + 1;
        }
    }
    double barycentric[MOST_DIMENSIONS + 2] = {};
    for (int i = 0; i <= d; ++i) {
        const double part = (elevated[i] - simplex.base[i]) / (d + 1);
        barycentric[d - simplex.rank[i]] += part;
        barycentric[d + 1 - simplex.rank[i]] -= part;
    }
    barycentric[0] += 1.0 + barycentric[d + 1];
    for (int i = 0; i <= d; ++i) weights[i] = static_cast<float>(barycentric[i]);
}

using FindSimplex = void (*)(const Elevation&, const float*, Simplex&, float*);

FindSimplex finder_of(int dimensions) {
    switch (dimensions) {
        case 3: return find_simplex<3>;  // grey pictures
        case 5: return find_simplex<5>;  // colour pictures
        case 6: return find_simplex<6>;
        default: return find_simplex<0>;
    }
}

// The first `dimensions` coordinates of the simplex's vertex of a remainder; they sum to 0 with the
// last, so these tell it.
void vertex_key(const Simplex& simplex, int dimensions, int remainder, std::int32_t* key) {
    for (int i = 0; i < dimensions; ++i) {
        const bool wraps = simplex.rank[i] > dimensions - remainder;
        key[i] = simplex.base[i] + remainder - (wraps ? dimensions + 1 : 0);
    }
}

bool are_same(const Simplex& a, const Simplex& b, int dimensions) {
    const std::size_t bytes = sizeof(std::int32_t) * static_cast<std::size_t>(dimensions + 1);
    return std::memcmp(a.base, b.base, bytes) == 0 && std::memcmp(a.rank, b.rank, bytes) == 0;
}

// Fills starts, members and member_weights from vertices and weights.
void sort_by_vertex(Lattice& lattice) {
    const std::size_t pairs = lattice.vertices.size();
    const std::size_t corners = static_cast<std::size_t>(lattice.dimensions) + 1;
    lattice.starts.assign(static_cast<std::size_t>(lattice.count) + 1, 0);
    lattice.members.resize(pairs);
    lattice.member_weights.resize(pairs);
    for (const std::int32_t vertex : lattice.vertices) ++lattice.starts[vertex + 1];
    for (std::int32_t v = 0; v < lattice.count; ++v) lattice.starts[v + 1] += lattice.starts[v];
    std::vector<std::int64_t> next(lattice.starts.begin(), lattice.starts.end() - 1);
    for (std::size_t pair = 0; pair < pairs; ++pair) {
        const std::int64_t place = next[lattice.vertices[pair]]++;
        lattice.members[place] = static_cast<std::int32_t>(pair / corners);
        lattice.member_weights[place] = lattice.weights[pair];
    }
}

}  // namespace

Lattice make_lattice(const float* features, std::int64_t pixels, int dimensions, int threads) {
    const int corners = dimensions + 1;
    Lattice lattice{};
    lattice.dimensions = dimensions;
    lattice.pixels = pixels;
    lattice.vertices.resize(static_cast<std::size_t>(pixels * corners));
    lattice.weights.resize(static_cast<std::size_t>(pixels * corners));
    const Elevation elevation = elevation_of(dimensions);
    const FindSimplex find = finder_of(dimensions);
    VertexTable table(dimensions);
    constexpr std::int64_t CHUNK = 1 << 13;
    std::vector<Simplex> simplices(static_cast<std::size_t>(std::min(pixels, CHUNK * 8)));
    Simplex last{};
    std::int32_t last_vertices[MOST_DIMENSIONS + 1];
    bool is_first = true;
    for (std::int64_t begin = 0; begin < pixels; begin += CHUNK * 8) {
        const std::int64_t end = std::min(pixels, begin + CHUNK * 8);
        in_bands(static_cast<int>(end - begin), threads, [&](int, int from, int to) {
            for (std::int64_t n = begin + from; n < begin + to; ++n) {
                find(elevation, features + n * dimensions, simplices[n - begin],
                     lattice.weights.data() + n * corners);
            }
        });
        for (std::int64_t n = begin; n < end; ++n) {
            const Simplex& simplex = simplices[n - begin];
            // Neighbouring pixels are often in one simplex.
            if (is_first || !are_same(simplex, last, dimensions)) {
                std::int32_t key[MOST_DIMENSIONS];
                for (int remainder = 0; remainder <= dimensions; ++remainder) {
                    vertex_key(simplex, dimensions, remainder, key);
                    last_vertices[remainder] = table.add(key);
                }
                last = simplex;
                is_first = false;
            }
            std::copy(last_vertices, last_vertices + corners,
                      lattice.vertices.begin() + n * corners);
        }
    }
    lattice.count = table.size();
    lattice.neighbours.resize(static_cast<std::size_t>(corners) * lattice.count * 2);
    in_bands(lattice.count, threads, [&](int, int from, int to) {
        std::int32_t key[MOST_DIMENSIONS];
        for (std::int32_t vertex = from; vertex < to; ++vertex) {
            for (int axis = 0; axis <= dimensions; ++axis) {
                std::int32_t* const pair =
                    lattice.neighbours.data() +
                    2 * (static_cast<std::size_t>(axis) * lattice.count + vertex);
                for (int side = 0; side < 2; ++side) {
                    const std::int32_t step = side ? 1 : -1;
                    for (int i = 0; i < dimensions; ++i) {
                        key[i] = table.key(vertex)[i] + step -
                                 (i == axis ? step * (dimensions + 1) : 0);
                    }
                    const std::int32_t found = table.find(key);
                    pair[side] = found < 0 ? lattice.count : found;
                }
            }
        }
    });
    sort_by_vertex(lattice);
    return lattice;
}

void scale_pixels(Lattice& lattice, const float* factors) {
    const std::size_t corners = static_cast<std::size_t>(lattice.dimensions) + 1;
    for (std::size_t pair = 0; pair < lattice.weights.size(); ++pair) {
        lattice.weights[pair] *= factors[pair / corners];
        lattice.member_weights[pair] *= factors[lattice.members[pair]];
    }
}

}  // namespace pixelwise
