// `medley plan init`: asks what a requirements file needs and writes it.
#pragma once

#include <cstdio>
#include <string>

namespace medley::cli {

struct PlanInitOptions {
  std::string out = "requirements.yaml";
  std::string answers;  // a YAML map from questions to answers; empty: asks on the terminal
  std::string trace;    // answers that question
  bool force = false;   // a file that is there already is replaced
  std::string catalog;  // its folder; empty: data::default_catalog_folder()
};

// Questions and prose on `err`, answers from `in`, a line each; an empty line takes the default.
// Exit status: 0 written, 1 it could not be written, 2 an answer that will not
// do, or a file that is there already.
int run_plan_init(const PlanInitOptions& options, std::FILE* in, std::FILE* err);

}  // namespace medley::cli
