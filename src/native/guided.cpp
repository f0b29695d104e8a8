#include "guided.hpp"

#include <algorithm>
#include <cmath>

namespace pixelwise {

namespace {

// Sums over square windows of some values a pixel, row by row: the sums of each column over the
// rows of the window, and from these along the row.
class WindowSums {
   public:
    WindowSums(int width, int radius, int values)
        : width_(width),
          radius_(radius),
          values_(values),
          columns_(static_cast<std::size_t>(width) * values, 0.0),
          before_((static_cast<std::size_t>(width) + 1) * values, 0.0) {}

    // `sign` is 1 for a row that enters the window and -1 for one that leaves it.
    void add_row(const double* row, double sign) {
        for (std::size_t i = 0; i < columns_.size(); ++i) columns_[i] += sign * row[i];
    }

    // Sums of all windows of the row, [width, values].
    void sums(double* out) {
        for (int x = 0; x < width_; ++x) {
            const std::size_t at = static_cast<std::size_t>(x) * values_;
            for (int k = 0; k < values_; ++k) {
                before_[at + values_ + k] = before_[at + k] + columns_[at + k];
            }
        }
        for (int x = 0; x < width_; ++x) {
            const std::size_t from = static_cast<std::size_t>(std::max(x - radius_, 0)) * values_;
            const std::size_t to =
                static_cast<std::size_t>(std::min(x + radius_ + 1, width_)) * values_;
            double* const sum = out + static_cast<std::size_t>(x) * values_;
            for (int k = 0; k < values_; ++k) sum[k] = before_[to + k] - before_[from + k];
        }
    }

   private:
    int width_;
    int radius_;
    int values_;
    std::vector<double> columns_;  // [width, values]
    std::vector<double> before_;   // [width + 1, values]: the sum of the columns before each
};

// Rows of the last windows, by y.
class Rows {
   public:
    Rows(int count, std::size_t size) : count_(count), size_(size), data_(count * size) {}
    double* at(int y) { return data_.data() + static_cast<std::size_t>(y % count_) * size_; }

   private:
    int count_;
    std::size_t size_;
    std::vector<double> data_;
};

// Calls made(y, sums) for every row with the sums over its windows; fill(y, row) gives the values.
template <class Fill, class Made>
void each_window_row(const GuidedJob& job, int values, Fill fill, Made made) {
    const std::size_t size = static_cast<std::size_t>(job.width) * values;
    Rows rows(std::min(2 * job.radius + 2, job.height + 1), size);
    WindowSums window(job.width, job.radius, values);
    std::vector<double> sums(size);
    for (int y = 0; y < job.height + job.radius; ++y) {
        if (y < job.height) {
            fill(y, rows.at(y));
            window.add_row(rows.at(y), 1.0);
        }
        const int middle = y - job.radius;
        if (middle < 0) continue;
        if (middle > job.radius) window.add_row(rows.at(middle - job.radius - 1), -1.0);
        window.sums(sums.data());
        made(middle, sums.data());
    }
}

// The inverse of a symmetric matrix that is positive definite, by Cholesky's decomposition.
void invert(int size, double* matrix) {
    double lower[MOST_GUIDE_BANDS][MOST_GUIDE_BANDS] = {};
    for (int i = 0; i < size; ++i) {
        for (int j = 0; j <= i; ++j) {
            double sum = matrix[i * size + j];
            for (int k = 0; k < j; ++k) sum -= lower[i][k] * lower[j][k];
            lower[i][j] = i == j ? std::sqrt(sum) : sum / lower[j][j];
        }
    }
    for (int column = 0; column < size; ++column) {
        double solved[MOST_GUIDE_BANDS] = {};
        for (int i = 0; i < size; ++i) {
            double sum = i == column ? 1.0 : 0.0;
            for (int k = 0; k < i; ++k) sum -= lower[i][k] * solved[k];
            solved[i] = sum / lower[i][i];
        }
        for (int i = size; i-- > 0;) {
            double sum = solved[i];
            for (int k = i + 1; k < size; ++k) sum -= lower[k][i] * solved[k];
            solved[i] = sum / lower[i][i];
            matrix[i * size + column] = solved[i];
        }
    }
}

int entries_of(int bands) { return bands + bands * bands + 1; }

}  // namespace

std::vector<double> guide_windows(const GuidedJob& job) {
    const int bands = job.bands;
    const int products = bands * (bands + 1) / 2;
    const int entries = entries_of(bands);
    std::vector<double> windows(static_cast<std::size_t>(job.height) * job.width * entries, 0.0);
    const auto fill = [&](int y, double* row) {
        const std::size_t first = static_cast<std::size_t>(y) * job.width;
        for (int x = 0; x < job.width; ++x) {
            const float* const colour = job.guide + (first + x) * bands;
            const double kept = job.keep[first + x] ? 1.0 : 0.0;
            for (int i = 0; i < bands; ++i) {
                *row++ = kept * colour[i];
                for (int j = 0; j <= i; ++j) {
                    *row++ = kept * static_cast<double>(colour[i]) * colour[j];
                }
            }
            *row++ = kept;
        }
    };
    const auto made = [&](int y, const double* sums) {
        const std::size_t first = static_cast<std::size_t>(y) * job.width;
        for (int x = 0; x < job.width; ++x, sums += bands + products + 1) {
            const double count = sums[bands + products];
            if (count < 0.5) continue;
            double* const mean = windows.data() + (first + x) * entries;
            double* const inverse = mean + bands;
            const double* sum = sums;
            for (int i = 0; i < bands; ++i) {
                mean[i] = *sum++ / count;
                for (int j = 0; j <= i; ++j) {
                    const double covariance = *sum++ / count - mean[i] * mean[j];
                    inverse[i * bands + j] = inverse[j * bands + i] = covariance;
                }
                inverse[i * bands + i] =
                    std::max(inverse[i * bands + i], 0.0) + job.smoothing;
            }
            invert(bands, inverse);
            mean[entries - 1] = 1.0 / count;
        }
    };
    each_window_row(job, bands + products + 1, fill, made);
    return windows;
}

void filter_by_guide(const GuidedJob& job, const std::vector<double>& windows, const float* values,
                     float* out) {
    const int bands = job.bands;
    const int entries = entries_of(bands);
    const int line = bands + 1;
    const std::size_t row_size = static_cast<std::size_t>(job.width) * line;
    Rows models(std::min(2 * job.radius + 2, job.height + 1), row_size);
    WindowSums model_sums(job.width, job.radius, line);
    std::vector<double> sums(row_size);
    const auto fill = [&](int y, double* row) {
        const std::size_t first = static_cast<std::size_t>(y) * job.width;
        for (int x = 0; x < job.width; ++x, row += line) {
            const float* const colour = job.guide + (first + x) * bands;
            const double value = job.keep[first + x] ? values[first + x] : 0.0;
            for (int i = 0; i < bands; ++i) row[i] = value * colour[i];
            row[bands] = value;
        }
    };
    // The window's best linear model of the values by the guide: He's equations 14 and 15.
    const auto fit = [&](int y, const double* sum) {
        const std::size_t first = static_cast<std::size_t>(y) * job.width;
        double* model = models.at(y);
        for (int x = 0; x < job.width; ++x, sum += line, model += line) {
            const double* const mean = windows.data() + (first + x) * entries;
            const double* const inverse = mean + bands;
            const double share = job.keep[first + x] ? mean[entries - 1] : 0.0;
            const double value = sum[bands] * share;
            double covariance[MOST_GUIDE_BANDS];
            for (int i = 0; i < bands; ++i) covariance[i] = sum[i] * share - mean[i] * value;
            model[bands] = value;
            for (int i = 0; i < bands; ++i) {
                model[i] = 0.0;
                for (int j = 0; j < bands; ++j) model[i] += inverse[i * bands + j] * covariance[j];
                model[bands] -= model[i] * mean[i];
            }
        }
    };
    const auto finish = [&](int y) {
        model_sums.sums(sums.data());
        const std::size_t first = static_cast<std::size_t>(y) * job.width;
        const double* sum = sums.data();
        for (int x = 0; x < job.width; ++x, sum += line) {
            const std::size_t n = first + x;
            if (!job.keep[n]) {
                out[n] = values[n];
                continue;
            }
            double value = sum[bands];
            for (int i = 0; i < bands; ++i) value += sum[i] * job.guide[n * bands + i];
            out[n] = static_cast<float>(value * windows[n * entries + entries - 1]);
        }
    };
    int finished = 0;
    const auto finish_up_to = [&](int last) {
        for (; finished <= last; ++finished) {
            if (finished > job.radius) {
                model_sums.add_row(models.at(finished - job.radius - 1), -1.0);
            }
            finish(finished);
        }
    };
    each_window_row(job, line, fill, [&](int y, const double* sum) {
        fit(y, sum);
        model_sums.add_row(models.at(y), 1.0);
        finish_up_to(y - job.radius);
    });
    finish_up_to(job.height - 1);
}

}  // namespace pixelwise
