// COIN-OR CLP's dual simplex on one model that is kept.
#pragma once

#include "solve/clp/clp_library.h"
#include "solve/relaxation.h"

namespace medley::solve {

class ClpRelaxation final : public Relaxation {
 public:
  ClpRelaxation(const ClpLibrary& clp, const IntegerProgram& program);
  ClpRelaxation(const ClpRelaxation&) = delete;
  ClpRelaxation& operator=(const ClpRelaxation&) = delete;
  ~ClpRelaxation() override;

  void set_limits(std::size_t column, double least, double most) override;
  Outcome solve(double cutoff) override;
  void read_x(std::vector<double>& x) const override;
  void read_prices(std::vector<double>& prices) const override;

 private:
  const ClpLibrary& clp_;
  Clp_Simplex* model_;
  std::size_t rows_, columns_;
};

}  // namespace medley::solve
