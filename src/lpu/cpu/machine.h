// A compiled program on this machine: weights packed, buffers placed, every instruction bound to a
// kernel and to addresses. What runs for a token is a loop over that list.
//
// The token path (run) allocates nothing, takes no lock and makes no system call, as long as
// further units' threads are awake: they spin for a moment after a token, then they are parked and
// waking them is a system call.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "base/result.h"
#include "lpu/compile_cpu.h"
#include "lpu/cpu/kernels.h"
#include "lpu/cpu/memory.h"

namespace medley::lpu::cpu {

// The layout that an instruction set reads.
CpuLayout layout_of(Isa isa, bool half_kv);

// An instruction's kernel and sizes; addresses are for the caller to fill in. kEmbed and kMeet are
// no kernel's work.
Step step_for(const Graph& graph, const Program& program, const Kernels& kernels,
              const Instruction& instruction);

class Machine {
 public:
  struct Options {
    Isa isa = best_isa();
    int slots = 1;           // streams with a KV cache each
    std::vector<int> cores;  // of each unit; empty: the system's choice
  };
  // Precondition: the program was compiled with layout_of(options.isa, ...). Errors: too little
  // memory, cores that this process may not use. The graph's file can be closed afterwards.
  static Result<std::unique_ptr<Machine>> make(const Graph& graph, const Program& program,
                                               const Options& options);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // The calling thread is the one that will call run(): it goes to the core of unit 0. The others'
  // threads have theirs, and are awake, when make() returns.
  void enter() const;

  // Puts `token` at `position` of a slot, whose earlier positions must have been filled. With
  // `head`, logits and choice are those that follow it. One caller at a time.
  void run(int slot, int token, int position, bool head = true);

  // Puts up to kMostTogether tokens of a prompt at a position and those that follow: as run() for
  // each, in less time. With `head`, logits and choice are those that follow the last.
  static constexpr int kMostTogether = 8;
  void read(int slot, std::span<const int> tokens, int position, bool head);

  // After run or read with `head`: the likeliest token, the lowest of equals.
  int choice() const;
  // Whether all logits are numbers: weights of a file may be anything.
  bool finite() const;
  // Precondition: room for the vocabulary.
  void copy_logits(std::span<float> out) const;

  // Keys and values of one position, layer and KV head, as F32; head_size numbers each. To be
  // written in the order of positions, from 0 on.
  void read_kv(int slot, int layer, int kv_head, int position, float* key, float* value) const;
  void write_kv(int slot, int layer, int kv_head, int position, const float* key,
                const float* value);
  int layers() const { return static_cast<int>(homes_.size()); }
  int kv_heads() const { return homes_.empty() ? 0 : static_cast<int>(homes_.front().size()); }

  // For whoever times them one by one (costs.h): what the first unit's thread does, and for which
  // token of slot 0.
  std::span<const Step> steps() const { return units_.front()->steps.front(); }
  Moment moment(int token, int position) const;

  const Program& program() const { return program_; }
  const char* isa_name() const { return kernels_.name; }
  int slots() const { return slots_; }
  int vocabulary() const { return program_.vocabulary; }
  int context() const { return program_.context; }
  // Whether all memory of the token path is locked.
  bool locked() const { return locked_; }
  std::int64_t memory_bytes() const;

 private:
  struct alignas(64) Counter {
    std::atomic<std::uint32_t> value{0};
  };
  struct Unit {
    Memory weights, buffers, kv;
    // By which of several tokens that are computed together: 0 the last of them, whose buffers
    // are where logits and choice are looked for.
    std::array<std::vector<Step>, kMostTogether> steps;
    std::vector<const float*> inputs;  // what Step::inputs points into
    Counter arrived;                   // meetings it has come to
    std::thread thread;
  };
  struct Task {
    int slot = 0, position = 0;
    bool head = true;
    int count = 0;
    std::array<int, kMostTogether> tokens{};
  };
  struct Place {
    std::size_t unit;
    std::int64_t key;        // of the position's first number, in numbers
    std::int64_t to_values;  // from there
  };

  // Where a KV head of a layer has its cache in slot 0, in numbers, and how far slots are apart.
  struct Home {
    std::size_t unit;
    std::int64_t key, to_values, slot_size;
  };

  Machine(const Program& program, const Options& options);
  Status bind(const Graph& graph);
  void bind_step(const Graph& graph, int unit, int together, const Instruction& instruction);
  void carry_out(const Task& task);
  void run_unit(int unit, const Task& task, std::uint32_t met);
  void run_together(int unit, const Task& task, Moment moment);
  void work(int unit);
  std::span<const float> logits_of(std::size_t unit) const;
  Place place(int slot, int layer, int kv_head, int position) const;

  // Runs as a step of kMeet.
  static void meet(const Step& step, const Moment& moment);

  const Program program_;
  const Kernels& kernels_;
  const int slots_;
  const std::vector<int> cores_;
  bool locked_ = true;
  std::vector<std::vector<Home>> homes_;  // by layer and KV head
  Memory common_;
  std::vector<std::unique_ptr<Unit>> units_;

  // Unit 0 writes the task, then counts up; the others read it after that.
  Task task_;
  std::uint32_t met_ = 0;  // meetings before the present token
  Counter go_;
  Counter started_;  // threads of further units
  std::atomic<bool> stopping_{false};
};

}  // namespace medley::lpu::cpu
