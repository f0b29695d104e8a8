// Bands of rows on a few threads. Threads live for one call: there is no pool to leak into a
// forked process or to wait for at exit.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace pixelwise {

// How many workers are worth starting for `work` units of about a nanosecond each.
inline int useful_threads(int threads, std::int64_t work) {
    constexpr std::int64_t WORTH_A_THREAD = 100'000;
    return static_cast<int>(
        std::clamp<std::int64_t>(work / WORTH_A_THREAD, 1, std::max(threads, 1)));
}

// Calls task(worker, first, last) until all rows are done. Workers take bands as they get free,
// because some bands are much more work than others. The task must not throw.
template <class Task>
void in_bands(int rows, int threads, Task task) {
    const int bands = std::clamp(threads > 1 ? 4 * threads : 1, 1, std::max(rows, 1));
    std::atomic<int> next_band{0};
    const auto work = [&](int worker) {
        for (int band = next_band++; band < bands; band = next_band++) {
            const auto edge = [&](int n) {
                return static_cast<int>(static_cast<std::int64_t>(rows) * n / bands);
            };
            task(worker, edge(band), edge(band + 1));
        }
    };
    std::vector<std::thread> workers;
    try {
        workers.reserve(static_cast<std::size_t>(threads));
        for (int worker = 1; worker < threads; ++worker) workers.emplace_back(work, worker);
    } catch (const std::system_error&) {
        // The system gives no more threads: those that started, and this one, do all the bands.
    }
    work(0);
    for (std::thread& worker : workers) worker.join();
}

}  // namespace pixelwise
