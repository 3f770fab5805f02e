// The questions of `medley plan init`, and the requirements file that answers make.
//
// Data: a question is a key, a sentence, a default and where the default comes from. Whoever asks
// (a terminal, a file of answers) hands the answers back by key.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/catalog.h"

namespace medley::plan {

struct Question {
  std::string key, text;
  std::string fallback;  // the answer where none is given; empty: left out of the file
  std::string source;    // of the default
};

using Answers = std::map<std::string, std::string>;

// In the order they are asked. What is asked depends on what was answered: a trace takes the place
// of rate and lengths, and each device whose price the catalogue does not know is asked for.
std::vector<Question> questions(const Answers& so_far, const data::Catalog& catalog);

// Comments say what each line means and where a default comes from. Errors: kInvalid for an answer
// to what was not asked (`param` is the key), and what the reader of requirements says of the file.
// `folder` is where the file will stand: relative paths start there.
Result<std::string> requirements_text(const Answers& answers, const data::Catalog& catalog,
                                      const std::string& folder);

}  // namespace medley::plan
