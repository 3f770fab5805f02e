// Doubles whose type carries their dimension, always in base units: s, B, FLOP, J and the site's
// currency.
//
// Not a units library: five exponents, the arithmetic that formulas need, and a compile error for
// the rest.
#pragma once

#include <compare>

namespace medley {

template <int Time, int Data, int Work, int Energy, int Money>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(double in_base_units) : value_(in_base_units) {}
  // The number in base units (seconds, bytes, FLOP, joules, currency units).
  constexpr double value() const { return value_; }

  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity operator-() const { return Quantity(-value_); }
  constexpr Quantity& operator+=(Quantity other) {
    value_ += other.value_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity other) {
    value_ -= other.value_;
    return *this;
  }
  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(a.value_ + b.value_);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(a.value_ - b.value_);
  }
  friend constexpr Quantity operator*(Quantity a, double b) { return Quantity(a.value_ * b); }
  friend constexpr Quantity operator*(double a, Quantity b) { return Quantity(a * b.value_); }
  friend constexpr Quantity operator/(Quantity a, double b) { return Quantity(a.value_ / b); }

 private:
  double value_ = 0;
};

template <int A, int B, int C, int D, int E, int F, int G, int H, int I, int J>
constexpr auto operator*(Quantity<A, B, C, D, E> a, Quantity<F, G, H, I, J> b) {
  return Quantity<A + F, B + G, C + H, D + I, E + J>(a.value() * b.value());
}

// A ratio of like quantities is a plain double.
template <int A, int B, int C, int D, int E, int F, int G, int H, int I, int J>
constexpr auto operator/(Quantity<A, B, C, D, E> a, Quantity<F, G, H, I, J> b) {
  if constexpr (A == F && B == G && C == H && D == I && E == J) {
    return a.value() / b.value();
  } else {
    return Quantity<A - F, B - G, C - H, D - I, E - J>(a.value() / b.value());
  }
}

using Seconds = Quantity<1, 0, 0, 0, 0>;
using Bytes = Quantity<0, 1, 0, 0, 0>;
using Flops = Quantity<0, 0, 1, 0, 0>;  // operations, not a rate
using Joules = Quantity<0, 0, 0, 1, 0>;
using Money = Quantity<0, 0, 0, 0, 1>;  // in the site's currency
using BytesPerSecond = Quantity<-1, 1, 0, 0, 0>;
using FlopsPerSecond = Quantity<-1, 0, 1, 0, 0>;
using Watts = Quantity<-1, 0, 0, 1, 0>;
using MoneyPerSecond = Quantity<-1, 0, 0, 0, 1>;
using MoneyPerJoule = Quantity<0, 0, 0, -1, 1>;

// A count of tokens: whole, and of no dimension that could be added to joules by accident.
class Tokens {
 public:
  constexpr Tokens() = default;
  constexpr explicit Tokens(long long count) : count_(count) {}
  constexpr long long count() const { return count_; }
  constexpr auto operator<=>(const Tokens&) const = default;
  constexpr Tokens& operator+=(Tokens other) {
    count_ += other.count_;
    return *this;
  }
  constexpr Tokens& operator-=(Tokens other) {
    count_ -= other.count_;
    return *this;
  }
  friend constexpr Tokens operator+(Tokens a, Tokens b) { return Tokens(a.count_ + b.count_); }
  friend constexpr Tokens operator-(Tokens a, Tokens b) { return Tokens(a.count_ - b.count_); }

 private:
  long long count_ = 0;
};

}  // namespace medley
