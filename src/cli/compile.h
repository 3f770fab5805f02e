// `medley compile`: a model as a static schedule for chips, what follows from it, and the
// certificate.
#pragma once

#include <cstdio>
#include <string>

namespace medley::cli {

struct CompileVerbOptions {
  std::string model, target, catalog;
  std::string precision, kv_precision;  // empty: the target's
  long long context = 0, streams = 1, prompt = 0;
  int chips = 0, group = 0;
  std::string svg;  // picture; empty: none
  bool json = false;
};
// Exit status: 0 compiled and verified, 1 the verifier found something, 2 unusable input or a model
// that does not fit, 4 no such model or target.
int run_compile(const CompileVerbOptions& options, std::FILE* out, std::FILE* err);

}  // namespace medley::cli
