// Carries out a schedule for chips, cycle by cycle: every chip has its SRAM, reads happen
// in the cycles the schedule says, results are written when it says, vectors cross links. What is
// wrong with the schedule is wrong with the tokens.
//
// For small models on targets with 32-bit numbers, to show that a schedule is a program. Sums are
// F32 like the target's. The tokens are held against a plain computation by tests.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "lpu/chip/schedule.h"
#include "lpu/chip/shape.h"
#include "lpu/chip/target.h"

namespace medley::lpu::chip {

// The numbers of a model, beyond its shape.
struct ModelNumbers {
  // Row (output) and column (input) of the whole matrix; of vectors column 0. `expert` is -1
  // outside experts.
  std::function<float(Weight weight, int layer, int expert, int row, int column)> weight;
  // cosine and sine of each turned pair at a position, one after the other
  std::function<std::vector<float>(long long position)> angles;
  bool halves = false;  // pairs (i, i + n/2) of the n numbers that are turned, else (2i, 2i + 1)
  int turned = 0;       // numbers of a head that are turned
  float norm_epsilon = 1e-5F;
  bool gelu = false;  // else SiLU
  float embedding_factor = 1;
};

class Emulator {
 public:
  // Loads the weights of every chip. Keeps references to the schedule, target and shape. Errors: a
  // number format other than 32 bits, or more SRAM than is sensible to emulate (2 GB).
  static Result<Emulator> make(const Schedule& schedule, const Target& target, const Shape& shape,
                               ModelNumbers numbers);

  // The next token of the one stream: through all stages. Answers the chosen token.
  // Precondition: position() < the schedule's context.
  int step(int token);
  // The same for the token that the step before chose, from where the last stage has left it.
  int step();
  // A chunk of a prompt, as many tokens as the schedule takes at once; none is chosen.
  // Precondition: the schedule has segments for so many.
  void prefill(const std::vector<int>& tokens);
  long long position() const { return position_; }
  void reset() { position_ = 0; }
  // Of the last step: the largest logit.
  float largest_logit() const { return largest_; }

 private:
  Emulator(const Schedule& schedule, const Target& target, const Shape& shape, ModelNumbers numbers)
      : schedule_(schedule), target_(target), shape_(shape), numbers_(std::move(numbers)) {}

  using Row = std::vector<float>;
  // A vector that is read or written in a cycle.
  struct Moment {
    std::int64_t cycle;
    bool write;
    int instruction, access, row;
  };
  // What one chip knows of an instruction that is under way.
  struct Pending {
    std::vector<std::vector<Row>> read;  // by access, by row
    std::vector<Row> sums;               // of a product, by row
  };

  void load();
  void load_run(int stage, const Run& run);
  void put(const std::vector<int>& tokens, const Segment& first);
  void run_segment(int stage, const Run& run);
  void read(int stage, const Run& run, int chip, const Moment& moment);
  void write(int stage, const Run& run, int chip, const Moment& moment);
  Row result(const Run& run, int chip, const Instruction& in, int access, int row);
  float local_weight(const Instruction& in, const Run& run, int chip, int expert, int n,
                     int k) const;
  std::int64_t row_of(const Run& run, int chip, const Access& access, int row) const;
  float* cells(int stage, int chip, int hemisphere, int slice, int bank, std::int64_t row);
  const LayerKind& kind_of(const Run& run) const;
  long long kept(const Run& run) const;
  const Row& operand(int chip, int instruction, int access, int row) const;

  const Schedule& schedule_;
  const Target& target_;
  const Shape& shape_;
  ModelNumbers numbers_;
  const NumberFormat* format_ = nullptr;
  std::vector<std::vector<Moment>> moments_;  // by segment, in order
  // By chip; a number of 32 bits stands for the four slices its bytes lie in.
  std::vector<std::vector<float>> sram_;
  std::vector<std::vector<Pending>> pending_;  // by chip of the group, by instruction
  std::vector<int> chosen_;                    // experts
  int count_ = 1;                              // tokens that are under way
  long long position_ = 0;                     // of the first of them
  float largest_ = 0;
  int choice_ = 0;
  int embed_parts_ = 1;
};

}  // namespace medley::lpu::chip
