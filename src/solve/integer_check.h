// What medley recomputes itself of an integer program's answer.
#pragma once

#include <string>
#include <vector>

#include "base/integer_program.h"
#include "base/result.h"

namespace medley::solve {

// Of a row's sum against its limits, relative to the largest of its terms, or to 1: what a linear
// solver leaves, and where all columns of the row are whole, what adding up does.
inline constexpr double kRowTolerance = 1e-6, kWholeRowTolerance = 1e-9;

// kInvalid where a cost, a limit or an amount is no number, or a column has no value to take.
Status check_program(const IntegerProgram& program);

double value_of(const IntegerProgram& program, const std::vector<double>& x);

// Of the value of x, before a cheaper x is of interest.
double gap_allowed(const IntegerProgram& program, const IntegerOptions& options, double value);

// Empty where x keeps to every row and column; else what it breaks. Whole columns must be whole.
std::string broken_limit(const IntegerProgram& program, const std::vector<double>& x);

}  // namespace medley::solve
