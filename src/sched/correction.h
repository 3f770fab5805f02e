// What a pool's step model says of one signal, the time to the first token or per token, corrected
// by what was observed there.
//
// Two things can be wrong with it. It may be off on the whole: a running ratio of observed to
// predicted. And it may be noise in part: then what is predicted to be long comes sooner than that,
// what is predicted to be short comes later, and the best guess lies between the prediction and the
// middle of all. How far is the slope of a regression of log(observed) on log(predicted): 1 where
// predictions tell all, 0 where they tell nothing that the pool's middle does not.
//
//   corrected = predicted · ratio · (predicted / centre)^(slope − 1)
//
// What is left is the error bar. It starts as stated, and falls with what is observed where the
// model proves better than was stated for it. What was learned long ago is doubted: a device that
// was slow may have been mended. Fed in the order of events; sums of doubles in that
// order are the same on every run.
#pragma once

namespace medley::sched {

class Correction {
 public:
  // `stated_error`: relative standard deviation of what is observed, as the pool's model states it.
  // `least_error`: what the bar never falls below, however well predictions do, unless less was
  // stated.
  Correction(double stated_error, double least_error);

  double ratio() const { return ratio_; }
  long long observations() const { return count_; }
  // What of the noise is taken off: a factor on a prediction that the ratio is in. Corrected
  // predictions keep their order: the factor falls more slowly than predictions rise.
  double shrinking(double predicted_with_ratio) const {
    return slope_ == 1 ? 1 : shrunk(predicted_with_ratio);
  }
  // Standard deviation of the logarithm about what was corrected.
  double error() const { return error_; }

  // `predicted`: by the model alone. Both in seconds; what is not positive is left out.
  // `known_error`: relative deviation that was known beforehand, and is not the model's.
  void observe(double predicted, double observed, double known_error = 0);
  // Half of the ratio is forgotten (of its logarithm), the bar is as wide as stated again, and the
  // next observations count for more.
  void doubt();

 private:
  double shrunk(double predicted_with_ratio) const;

  const double stated_variance_, least_variance_;
  double ratio_ = 1, variance_, error_;
  // Of logarithms, running: of what the model said and of what was observed against it, the means,
  // the variances and their covariance.
  long long count_ = 0;
  long long since_doubt_ = 1'000'000;  // observations; at first nothing is in doubt
  double centre_ = 0, off_centre_ = 0, spread_ = 0, off_spread_ = 0, shared_ = 0;
  double slope_ = 1;
};

}  // namespace medley::sched
