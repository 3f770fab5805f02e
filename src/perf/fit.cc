#include "perf/fit.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/check.h"

namespace medley::perf {
namespace {

// Row by row, symmetric.
class Matrix {
 public:
  explicit Matrix(std::size_t size) : size_(size), cells_(size * size) {}
  double& at(std::size_t i, std::size_t j) { return cells_[i * size_ + j]; }
  double at(std::size_t i, std::size_t j) const { return cells_[i * size_ + j]; }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  std::vector<double> cells_;
};

// The lower factor of Cholesky; empty where the matrix is not positive definite.
std::optional<Matrix> cholesky(const Matrix& a) {
  Matrix l(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = a.at(i, j);
      for (std::size_t k = 0; k < j; ++k)
        sum -= l.at(i, k) * l.at(j, k);
      if (i == j) {
        if (!(sum > 0))
          return std::nullopt;
        l.at(i, i) = std::sqrt(sum);
      } else {
        l.at(i, j) = sum / l.at(j, j);
      }
    }
  }
  return l;
}

std::vector<double> solve(const Matrix& l, std::vector<double> b) {
  for (std::size_t i = 0; i < l.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k)
      b[i] -= l.at(i, k) * b[k];
    b[i] /= l.at(i, i);
  }
  for (std::size_t i = l.size(); i-- > 0;) {
    for (std::size_t k = i + 1; k < l.size(); ++k)
      b[i] -= l.at(k, i) * b[k];
    b[i] /= l.at(i, i);
  }
  return b;
}

// The problem in units of the spreads: y = (x − start) / spread, so that every unknown weighs
// alike.
class Problem {
 public:
  Problem(std::span<const Unknown> unknowns, std::size_t count, const Residuals& residuals,
          const FitOptions& options)
      : unknowns_(unknowns), count_(count), residuals_(residuals), options_(options) {
    MEDLEY_CHECK(options.noise > 0);
    MEDLEY_CHECK(options.weights.empty() || options.weights.size() == count);
    for (std::size_t k = 0; k < unknowns.size(); ++k) {
      const Unknown& u = unknowns[k];
      MEDLEY_CHECK(u.low <= u.start && u.start <= u.high, u.name);
      values_.push_back(u.start);
      if (u.spread > 0 && u.low < u.high)
        open_.push_back(k);
    }
  }

  std::size_t open() const { return open_.size(); }
  const Unknown& unknown(std::size_t j) const { return unknowns_[open_[j]]; }
  std::size_t place(std::size_t j) const { return open_[j]; }
  double value(const std::vector<double>& y, std::size_t j) const {
    const Unknown& u = unknown(j);
    return std::clamp(u.start + y[j] * u.spread, u.low, u.high);
  }
  double low(std::size_t j) const {
    return (unknown(j).low - unknown(j).start) / unknown(j).spread;
  }
  double high(std::size_t j) const {
    return (unknown(j).high - unknown(j).start) / unknown(j).spread;
  }

  // Residuals in units of the noise.
  std::vector<double> at(const std::vector<double>& y) {
    for (std::size_t j = 0; j < y.size(); ++j)
      values_[open_[j]] = value(y, j);
    std::vector<double> r(count_);
    residuals_(values_, r);
    for (double& one : r)
      one /= options_.noise;
    return r;
  }
  double weight(std::size_t i) const { return options_.weights.empty() ? 1 : options_.weights[i]; }
  double cost(const std::vector<double>& y, const std::vector<double>& r) const {
    double sum = 0;
    for (std::size_t i = 0; i < r.size(); ++i)
      sum += weight(i) * 2 * (std::sqrt(1 + r[i] * r[i]) - 1);
    for (const double one : y)
      sum += one * one;
    return sum;
  }

  // JᵀWJ (data only) and JᵀWr at y, W the weights of pseudo-Huber's loss.
  void linearise(const std::vector<double>& y, const std::vector<double>& r, Matrix& curvature,
                 std::vector<double>& gradient) {
    const double by = options_.step;
    std::vector<std::vector<double>> slope(open());
    for (std::size_t j = 0; j < open(); ++j) {
      // Inward at the upper bound.
      const double step = y[j] + by > high(j) ? -by : by;
      std::vector<double> moved = y;
      moved[j] += step;
      slope[j] = at(moved);
      for (std::size_t i = 0; i < count_; ++i)
        slope[j][i] = (slope[j][i] - r[i]) / step;
    }
    for (std::size_t j = 0; j < open(); ++j) {
      gradient[j] = 0;
      for (std::size_t k = 0; k <= j; ++k)
        curvature.at(j, k) = 0;
      for (std::size_t i = 0; i < count_; ++i) {
        const double w = weight(i) / std::sqrt(1 + r[i] * r[i]);
        gradient[j] += w * slope[j][i] * r[i];
        for (std::size_t k = 0; k <= j; ++k)
          curvature.at(j, k) += w * slope[j][i] * slope[k][i];
      }
      for (std::size_t k = 0; k <= j; ++k)
        curvature.at(k, j) = curvature.at(j, k);
    }
  }

 private:
  std::span<const Unknown> unknowns_;
  std::size_t count_;
  const Residuals& residuals_;
  const FitOptions& options_;
  std::vector<double> values_;
  std::vector<std::size_t> open_;
};

}  // namespace

std::vector<double> Fit::values() const {
  std::vector<double> values;
  for (const Found& one : found)
    values.push_back(one.value);
  return values;
}

Fit fit(std::span<const Unknown> unknowns, std::size_t residual_count, const Residuals& residuals,
        const FitOptions& options) {
  Problem problem(unknowns, residual_count, residuals, options);
  const std::size_t n = problem.open();
  Fit result;
  std::vector<double> y(n, 0.0), gradient(n);
  std::vector<double> r = problem.at(y);
  double cost = problem.cost(y, r);
  Matrix curvature(n);
  double damping = 1e-3;
  result.converged = n == 0;

  while (!result.converged && result.iterations < options.max_iterations) {
    ++result.iterations;
    problem.linearise(y, r, curvature, gradient);
    std::vector<double> down(n);  // steepest descent; zero where a bound is in the way
    std::vector<bool> stuck(n);
    for (std::size_t j = 0; j < n; ++j) {
      down[j] = -gradient[j] - y[j];
      stuck[j] =
          (y[j] <= problem.low(j) && down[j] < 0) || (y[j] >= problem.high(j) && down[j] > 0);
      if (stuck[j])
        down[j] = 0;
    }
    bool better = false;
    while (!better && damping < 1e12) {
      Matrix damped(n);
      for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t k = 0; k < n; ++k)
          damped.at(j, k) = stuck[j] || stuck[k] ? 0 : curvature.at(j, k);
        damped.at(j, j) = stuck[j] ? 1 : (curvature.at(j, j) + 1) * (1 + damping);
      }
      const auto factor = cholesky(damped);
      if (factor) {
        std::vector<double> next = solve(*factor, down);
        for (std::size_t j = 0; j < n; ++j)
          next[j] = std::clamp(y[j] + next[j], problem.low(j), problem.high(j));
        std::vector<double> r_next = problem.at(next);
        const double cost_next = problem.cost(next, r_next);
        if (std::isfinite(cost_next) && cost_next <= cost) {
          // Converged: the best step of this model hardly helps. Of a rough one, some such steps
          // only pick the luckiest of neighbours.
          result.converged = cost - cost_next <= (options.smooth ? 1e-7 : 1e-4) * (1 + cost);
          y = std::move(next);
          r = std::move(r_next);
          cost = cost_next;
          better = true;
          damping = std::max(damping / 5, 1e-12);
          continue;
        }
      }
      damping *= 5;
    }
    // No step, however small, helps: a minimum, unless the slope says otherwise.
    if (!better) {
      double steepest = 0;
      for (const double one : down)
        steepest = std::max(steepest, std::abs(one));
      result.converged = !options.smooth || steepest <= 1e-3 * (1 + cost);
      break;
    }
  }

  // How sure: the inverse of the curvature, prior included, at the solution.
  problem.linearise(y, r, curvature, gradient);
  Matrix with_prior = curvature;
  for (std::size_t j = 0; j < n; ++j)
    with_prior.at(j, j) += 1;
  const auto factor = cholesky(with_prior);
  result.found.resize(unknowns.size());
  for (std::size_t k = 0; k < unknowns.size(); ++k) {
    Found& one = result.found[k];
    one.value = unknowns[k].start;
    one.spread = unknowns[k].spread;
    one.held = true;
  }
  for (std::size_t j = 0; j < n; ++j) {
    Found& one = result.found[problem.place(j)];
    one.held = false;
    one.value = problem.value(y, j);
    double left = 1;  // of the spread, as a share
    if (factor) {
      std::vector<double> unit(n, 0.0);
      unit[j] = 1;
      left = std::sqrt(solve(*factor, unit)[j]);
    }
    one.spread = problem.unknown(j).spread * left;
    one.felt = curvature.at(j, j) > 1e-9;
    one.identified = one.felt && left <= 0.5;
    const double down = -gradient[j] - y[j];
    one.at_bound = (y[j] <= problem.low(j) && down < 0) || (y[j] >= problem.high(j) && down > 0);
  }
  return result;
}

}  // namespace medley::perf
