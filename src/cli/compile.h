// `medley compile`: a model as a static schedule for chips, what follows from it, and the
// certificate.
#pragma once

#include <cstdio>
#include <string>

#include "base/result.h"

namespace medley::cli {

struct CompileVerbOptions {
  std::string model, target, catalog;
  std::string precision, kv_precision;  // empty: the target's
  long long context = 0, streams = 1, prompt = 0;
  int chips = 0, group = 0;
  std::string svg;       // picture; empty: none
  bool measure = false;  // target cpu: beside what is predicted, what is
  bool json = false;
};
// For target cpu, the core that this runs on. Errors name what cannot be.
Status compile_for_cpu(const CompileVerbOptions& options, const std::string& gguf_path,
                       std::FILE* out);
// Exit status: 0 compiled and verified, 1 the verifier found something, 2 unusable input or a model
// that does not fit, 4 no such model or target.
int run_compile(const CompileVerbOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
